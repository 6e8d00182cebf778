"""What must hold of single resources in infra/, or prompts are lost, late, or seen by others."""

import ast
from functools import cache
from pathlib import Path

import promptforge
from promptforge.entrypoints.http import STORAGE_EVENT_TYPE
from tests.infra.terraform import local, resources

PACKAGE = Path(promptforge.__file__).parent


def test_there_is_a_bucket_for_each_that_the_settings_name() -> None:
    named = {name for name in local("settings") if name.endswith("_BUCKET")}

    assert named == {f"PROMPTFORGE_{bucket.upper()}_BUCKET" for bucket in local("buckets")}
    for name in named:
        bucket = name.removeprefix("PROMPTFORGE_").removesuffix("_BUCKET").lower()
        assert local("settings")[name] == f'${{google_storage_bucket.this["{bucket}"].name}}'


def test_no_bucket_can_be_made_public() -> None:
    for bucket in resources("google_storage_bucket").values():
        assert bucket["public_access_prevention"] == "enforced"
        assert bucket["uniform_bucket_level_access"] is True


def test_there_is_a_topic_for_each_that_is_published_to() -> None:
    assert first_arguments("publish") == {"chunks"}
    assert {*resources("google_pubsub_topic")} == {"chunks", "dead_letters"}


def test_every_queue_that_is_used_is_there() -> None:
    assert first_arguments("enqueue") == {
        name for name, row in local("table").items() if "tasks" in row.get("called_by", [])
    }


def test_no_message_is_dropped_in_silence() -> None:
    subscription = resources("google_pubsub_subscription")["chunks"]
    letters = subscription["dead_letter_policy"][0]

    assert subscription["ack_deadline_seconds"] == 600
    assert subscription["retry_policy"] == [{"minimum_backoff": "10s", "maximum_backoff": "600s"}]
    assert 5 <= letters["max_delivery_attempts"] <= 100
    kept = resources("google_pubsub_subscription")["dead_letters"]
    assert kept["topic"] == letters["dead_letter_topic"]
    assert [each["expiration_policy"] for each in (subscription, kept)] == [[{"ttl": ""}]] * 2


def test_a_push_says_for_whom_it_is() -> None:
    push = resources("google_pubsub_subscription")["chunks"]["push_config"][0]

    assert push["push_endpoint"] == push["oidc_token"][0]["audience"] == '${local.urls["worker"]}'


def test_no_task_is_ever_given_up() -> None:
    queue = resources("google_cloud_tasks_queue")["this"]

    assert queue["retry_config"][0]["max_attempts"] == -1


def test_an_upload_is_announced_until_somebody_listens() -> None:
    (trigger,) = resources("google_eventarc_trigger").values()
    wanted = {each["attribute"]: each["value"] for each in trigger["matching_criteria"]}

    assert wanted == {"type": STORAGE_EVENT_TYPE, "bucket": '${google_storage_bucket.this["uploads"].name}'}
    assert "retry_policy" not in trigger  # all it can say is: once


def test_the_sweeper_is_called_every_minute() -> None:
    job = resources("google_cloud_scheduler_job")["sweeper"]

    assert job["schedule"] == "* * * * *"
    assert job["http_target"][0]["body"] == '${base64encode("{}")}'


def test_alerts_are_on_events_that_are_logged() -> None:
    logged = {name for level in ("info", "warning", "error") for name in first_arguments(level)}
    logged |= first_arguments("_failed")

    for alert in local("event_alerts").values():
        assert {*alert["events"]} <= logged


def first_arguments(called: str) -> set[str]:
    """The first argument, where it is a text, of every call of something so named in the product."""
    return {text for name, text in calls() if name == called}


@cache
def calls() -> frozenset[tuple[str, str]]:
    """The name and the first argument of every call in the product that begins with a text."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=name) | ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]
                ):
                    found.add((name, text))
    return frozenset(found)
