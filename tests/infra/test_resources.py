"""Properties of single resources in infra/ whose violation loses, delays or exposes prompts."""

import ast
from functools import cache
from pathlib import Path

import promptforge
from promptforge.entrypoints.events import STORAGE_EVENT_TYPE
from tests.infra.terraform import local, resources

PACKAGE = Path(promptforge.__file__).parent


def test_buckets_equal_those_of_the_settings() -> None:
    named = {name for name in local("settings") if name.endswith("_BUCKET")}

    assert named == {f"PROMPTFORGE_{bucket.upper()}_BUCKET" for bucket in local("buckets")}
    for name in named:
        bucket = name.removeprefix("PROMPTFORGE_").removesuffix("_BUCKET").lower()
        assert local("settings")[name] == f'${{google_storage_bucket.this["{bucket}"].name}}'


def test_buckets_enforce_public_access_prevention() -> None:
    for bucket in resources("google_storage_bucket").values():
        assert bucket["public_access_prevention"] == "enforced"
        assert bucket["uniform_bucket_level_access"] is True


def test_topics_equal_published_topics_and_dead_letters() -> None:
    assert first_arguments("publish") == {"chunks"}
    assert {*resources("google_pubsub_topic")} == {"chunks", "dead_letters"}


def test_queues_cover_every_enqueue_call() -> None:
    assert first_arguments("enqueue") == {
        name for name, row in local("table").items() if "tasks" in row.get("called_by", [])
    }


def test_chunk_subscription_dead_letters_without_expiry() -> None:
    subscription = resources("google_pubsub_subscription")["chunks"]
    policy = subscription["dead_letter_policy"][0]

    assert subscription["ack_deadline_seconds"] == 600
    assert subscription["retry_policy"] == [{"minimum_backoff": "10s", "maximum_backoff": "600s"}]
    assert 5 <= policy["max_delivery_attempts"] <= 100
    dead_letters = resources("google_pubsub_subscription")["dead_letters"]
    assert dead_letters["topic"] == policy["dead_letter_topic"]
    assert [each["expiration_policy"] for each in (subscription, dead_letters)] == [[{"ttl": ""}]] * 2


def test_push_token_audience_equals_endpoint() -> None:
    push = resources("google_pubsub_subscription")["chunks"]["push_config"][0]

    assert push["push_endpoint"] == push["oidc_token"][0]["audience"] == '${local.urls["worker"]}'


def test_task_queue_retries_without_limit() -> None:
    queue = resources("google_cloud_tasks_queue")["this"]

    assert queue["retry_config"][0]["max_attempts"] == -1


def test_upload_trigger_keeps_default_retries() -> None:
    (trigger,) = resources("google_eventarc_trigger").values()
    wanted = {each["attribute"]: each["value"] for each in trigger["matching_criteria"]}

    assert wanted == {"type": STORAGE_EVENT_TYPE, "bucket": '${google_storage_bucket.this["uploads"].name}'}
    assert "retry_policy" not in trigger  # its only option is a single delivery


def test_scheduler_calls_sweeper_every_minute() -> None:
    job = resources("google_cloud_scheduler_job")["sweeper"]

    assert job["schedule"] == "* * * * *"
    assert job["http_target"][0]["body"] == '${base64encode("{}")}'


def test_alert_events_are_logged_by_the_product() -> None:
    logged = {name for level in ("info", "warning", "error") for name in first_arguments(level)}
    logged |= first_arguments("failure_response")

    for alert in local("event_alerts").values():
        assert {*alert["events"]} <= logged


def first_arguments(called: str) -> set[str]:
    """Return the literal first arguments of all calls of this name in the product."""
    return {text for name, text in calls() if name == called}


@cache
def calls() -> frozenset[tuple[str, str]]:
    """Return name and first argument of every call in the product whose first argument is a string literal."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=name) | ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]
                ):
                    found.add((name, text))
    return frozenset(found)
