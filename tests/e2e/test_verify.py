"""`promptforge verify`: valid folders have no faults, and every fault of another folder is reported."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.client.verify import MAX_SHOWN, verify
from promptforge.errors import SettingsError
from tests.harness.finished_job import (
    CONTENT,
    ERRORS,
    INVALID_COUNT,
    MANIFEST,
    VALID_COUNT,
    FinishedJob,
    download_finished_job,
)
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts


def test_verify_valid_folder_has_no_faults(good: FinishedJob) -> None:
    verdict = verify(good.file, good.folder)

    assert verdict.faults == []
    assert (verdict.lines, verdict.results, verdict.errors) == (VALID_COUNT + INVALID_COUNT, VALID_COUNT, INVALID_COUNT)
    assert len(good.parts()) > 4


lines = st.lists(
    st.one_of(
        st.integers(0, 12).map(lambda n: b'{"prompt_id": "%d", "prompt": "p"}' % n),
        st.sampled_from([b"", b"  ", b"\r", b"bad", b"{}", b"\xff", b'{"prompt_id": "1"}', b"x" * 300]),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(lines=lines, end=st.sampled_from([b"\n", b"\r\n"]), bom=st.booleans(), last=st.booleans())
def test_verify_any_upload_has_no_faults(lines: list[bytes], end: bytes, bom: bool, last: bool) -> None:
    content = b"\xef\xbb\xbf" * bom + prompts(1, first=100) + end.join(lines) + end * last

    async def make(folder: Path) -> FinishedJob:
        async with in_process_stack(folder / "data", chunk_lines=3, part_lines=5, max_line_bytes=200) as one:
            return await download_finished_job(one, await one.run(content), content, folder)

    with tempfile.TemporaryDirectory() as folder:
        finished = asyncio.run(make(Path(folder)))
        verdict = verify(finished.file, finished.folder)

    assert verdict.faults == []
    assert verdict.lines == sum(bool(line.strip()) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


def test_verify_changed_input_is_reported(copy: FinishedJob) -> None:
    copy.file.write_bytes(CONTENT.replace(b"prompt 7", b"prompt 8"))
    (fault,) = verify(copy.file, copy.folder).faults

    assert "is not the file that was uploaded" in fault


def test_verify_longer_input_is_reported_with_missing_lines(copy: FinishedJob) -> None:
    copy.file.write_bytes(CONTENT + b"\n" + prompts(1, first=99))
    faults = verify(copy.file, copy.folder).faults

    assert any("is not the file that was uploaded" in fault for fault in faults)
    assert any(fault.startswith("missing: line ") and fault.endswith('"id-99"') for fault in faults)


@pytest.mark.parametrize("name", ["results_part_002.jsonl", ERRORS])
def test_verify_missing_file_is_reported(copy: FinishedJob, name: str) -> None:
    (copy.folder / name).unlink()
    faults = verify(copy.file, copy.folder).faults

    assert any(fault == f"{copy.folder / name} not found" for fault in faults)
    assert any(fault.startswith("missing: ") for fault in faults)


def test_verify_extra_file_is_reported(copy: FinishedJob) -> None:
    (copy.folder / "results_part_777.jsonl").write_bytes(b"")
    (fault,) = verify(copy.file, copy.folder).faults

    assert fault == f"{copy.folder / 'results_part_777.jsonl'} is not in the manifest"


def test_verify_error_file_outside_manifest_is_reported(copy: FinishedJob) -> None:
    manifest = copy.manifest()
    manifest["files"] = [entry for entry in manifest["files"] if entry["filename"] != ERRORS]
    copy.write_manifest(manifest)

    assert f"{copy.folder / ERRORS} is not in the manifest" in verify(copy.file, copy.folder).faults


@pytest.mark.parametrize("count", ["prompt_count", "completed_count", "failed_count"])
def test_verify_wrong_count_is_reported(copy: FinishedJob, count: str) -> None:
    copy.write_manifest(copy.manifest() | {count: 1000})
    (fault,) = verify(copy.file, copy.folder).faults

    assert "1000" in fault


@pytest.mark.parametrize("key", ["lines", "bytes", "crc32c", "sha256"])
def test_verify_manifest_entry_that_differs_from_file_is_reported(copy: FinishedJob, key: str) -> None:
    manifest = copy.manifest()
    entry = manifest["files"][1]
    entry[key] = entry[key] + 1 if isinstance(entry[key], int) else entry[key].swapcase()
    copy.write_manifest(manifest)
    (fault,) = verify(copy.file, copy.folder).faults

    assert "results_part_002.jsonl was changed" in fault


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"version": 2}'])
def test_verify_malformed_manifest_raises(copy: FinishedJob, content: bytes) -> None:
    (copy.folder / MANIFEST).write_bytes(content)

    with pytest.raises(SettingsError, match=r"manifest\.json is damaged"):
        verify(copy.file, copy.folder)


def test_verify_ignores_paths_outside_folder(copy: FinishedJob) -> None:
    manifest = copy.manifest()
    manifest["files"][0]["filename"] = "../../" + manifest["files"][0]["filename"]
    copy.write_manifest(manifest)
    shutil.move(copy.parts()[0], copy.folder.parent)

    assert any("not found" in fault for fault in verify(copy.file, copy.folder).faults)


def test_verify_many_faults_are_counted_and_some_shown(copy: FinishedJob) -> None:
    count = 3 * MAX_SHOWN
    (copy.folder / ERRORS).write_bytes(b"nonsense\n" * count)
    for part in copy.parts():
        part.write_bytes(b"")
    faults = verify(copy.file, copy.folder).faults

    assert sum("is not a valid result line" in fault for fault in faults) == MAX_SHOWN
    assert sum(fault.startswith("missing: line") for fault in faults) == MAX_SHOWN
    assert f"missing: {VALID_COUNT + INVALID_COUNT - MAX_SHOWN} more" in faults
    assert f"{copy.folder / ERRORS}: {count - MAX_SHOWN} more are not valid result lines" in faults
