"""The smoke test against the engine of one machine, on which most of its checks apply."""

from pathlib import Path

from tests.harness.engine_process import engine, run_cli
from tests.harness.smoke import run_smoke


def test_smoke_on_one_machine_passes_and_skips_checks_of_the_cloud(tmp_path: Path) -> None:
    expiry = {"PROMPTFORGE_UPLOAD_URL_SECONDS": "5", "PROMPTFORGE_DOWNLOAD_URL_SECONDS": "5"}
    with engine(tmp_path / "data", expiry) as running:
        other = run_cli("keys", "create", "--client", "other", "--data-dir", tmp_path / "data").stdout.strip()
        code, statuses = run_smoke(running.url, running.key, other, "--expiry")

    assert code == 0, statuses
    assert sorted(statuses.values()) == ["ok"] * 9 + ["skipped"] * 3
    skipped = [text for text, status in statuses.items() if status == "skipped"]
    assert [text.partition(":")[2].strip() for text in skipped] == [
        "the engine of one machine does not do this",
        "the engine of one machine does not do this",
        "no --function-url is given",
    ]


def test_smoke_with_shared_key_and_open_function_fails_two_checks(tmp_path: Path) -> None:
    with engine(tmp_path / "data") as running:
        open_url = f"{running.url}/health?{{function}}"
        code, statuses = run_smoke(running.url, running.key, running.key, "--function-url", open_url)

    failed = [text for text, status in statuses.items() if status == "FAILED"]
    assert code == 1
    assert len(failed) == 2, statuses
    assert failed[0].endswith("status of another client's job returned 200")
    assert failed[1].endswith("a POST to splitter returned 405")
