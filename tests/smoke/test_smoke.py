"""The smoke test itself, on the engine of one machine, where most of what it looks at is done too."""

from pathlib import Path

from tests.harness.engine_process import engine, run_cli
from tests.harness.smoke import run_smoke


def test_all_is_well_on_one_machine_and_what_only_the_cloud_does_is_skipped(tmp_path: Path) -> None:
    short = {"PROMPTFORGE_UPLOAD_URL_SECONDS": "5", "PROMPTFORGE_DOWNLOAD_URL_SECONDS": "5"}
    with engine(tmp_path / "data", short) as running:
        other = run_cli("keys", "create", "--client", "other", "--data-dir", tmp_path / "data").stdout.strip()
        code, said = run_smoke(running.url, running.key, other, "--expiry")

    assert code == 0, said
    assert sorted(said.values()) == ["ok"] * 9 + ["skipped"] * 3
    skipped = [sentence for sentence, word in said.items() if word == "skipped"]
    assert [sentence.partition(":")[2].strip() for sentence in skipped] == [
        "the engine of one machine does not do this",
        "the engine of one machine does not do this",
        "no --function-url is given",
    ]


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    with engine(tmp_path / "data") as running:
        open_to_all = f"{running.url}/health?{{function}}"
        code, said = run_smoke(running.url, running.key, running.key, "--function-url", open_to_all)

    failed = [sentence for sentence, word in said.items() if word == "FAILED"]
    assert code == 1
    assert len(failed) == 2, said
    assert failed[0].endswith("status of another's job was answered with 200")
    assert failed[1].endswith("a POST to splitter was answered with 405")
