"""`promptforge verify`: says yes to every good folder, and names what is wrong with every other."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundle import BAD, CONTENT, ERRORS, GOOD, MANIFEST, Bundle, bring_home
from tests.support.machine import machine, prompts

from promptforge.errors import SettingsError
from promptforge.verify import SHOWN, verify


def test_a_good_folder_is_found_good(good: Bundle) -> None:
    verdict = verify(good.file, good.folder)

    assert verdict.faults == []
    assert (verdict.lines, verdict.results, verdict.errors) == (GOOD + BAD, GOOD, BAD)
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
def test_whatever_was_uploaded_its_results_are_found_good(
    lines: list[bytes], end: bytes, bom: bool, last: bool
) -> None:
    content = b"\xef\xbb\xbf" * bom + prompts(1, first=100) + end.join(lines) + end * last

    async def make(folder: Path) -> Bundle:
        async with machine(folder / "data", chunk_lines=3, part_lines=5, max_line_bytes=200) as one:
            return await bring_home(one, await one.run(content), content, folder)

    with tempfile.TemporaryDirectory() as folder:
        bundle = asyncio.run(make(Path(folder)))
        verdict = verify(bundle.file, bundle.folder)

    assert verdict.faults == []
    assert verdict.lines == sum(bool(line.strip()) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


def test_another_or_a_changed_input_is_named(copy: Bundle) -> None:
    copy.file.write_bytes(CONTENT.replace(b"prompt 7", b"prompt 8"))
    (fault,) = verify(copy.file, copy.folder).faults

    assert "is not the file that was uploaded" in fault


def test_a_longer_input_is_named_with_what_it_lacks(copy: Bundle) -> None:
    copy.file.write_bytes(CONTENT + b"\n" + prompts(1, first=99))
    faults = verify(copy.file, copy.folder).faults

    assert any("is not the file that was uploaded" in fault for fault in faults)
    assert any(fault.startswith("missing: line ") and fault.endswith('"id-99"') for fault in faults)


@pytest.mark.parametrize("name", ["results_part_002.jsonl", ERRORS])
def test_a_file_that_is_missing_is_named(copy: Bundle, name: str) -> None:
    (copy.folder / name).unlink()
    faults = verify(copy.file, copy.folder).faults

    assert any(fault == f"{copy.folder / name} is not there" for fault in faults)
    assert any(fault.startswith("missing: ") for fault in faults)


def test_a_file_too_many_is_named(copy: Bundle) -> None:
    (copy.folder / "results_part_777.jsonl").write_bytes(b"")
    (fault,) = verify(copy.file, copy.folder).faults

    assert fault == f"{copy.folder / 'results_part_777.jsonl'} is not in the manifest"


def test_errors_that_the_manifest_does_not_name_are_named(copy: Bundle) -> None:
    manifest = copy.manifest()
    manifest["files"] = [entry for entry in manifest["files"] if entry["filename"] != ERRORS]
    copy.write_manifest(manifest)

    assert f"{copy.folder / ERRORS} is not in the manifest" in verify(copy.file, copy.folder).faults


@pytest.mark.parametrize("count", ["prompt_count", "completed_count", "failed_count"])
def test_a_count_that_is_off_is_named(copy: Bundle, count: str) -> None:
    copy.write_manifest(copy.manifest() | {count: 1000})
    (fault,) = verify(copy.file, copy.folder).faults

    assert "1000" in fault


@pytest.mark.parametrize("key", ["lines", "bytes", "crc32c", "sha256"])
def test_a_manifest_that_does_not_fit_its_file_is_named(copy: Bundle, key: str) -> None:
    manifest = copy.manifest()
    entry = manifest["files"][1]
    entry[key] = entry[key] + 1 if isinstance(entry[key], int) else entry[key].swapcase()
    copy.write_manifest(manifest)
    (fault,) = verify(copy.file, copy.folder).faults

    assert "results_part_002.jsonl was changed" in fault


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"version": 2}'])
def test_a_damaged_manifest_is_an_error_that_says_so(copy: Bundle, content: bytes) -> None:
    (copy.folder / MANIFEST).write_bytes(content)

    with pytest.raises(SettingsError, match=r"manifest\.json is damaged"):
        verify(copy.file, copy.folder)


def test_a_manifest_names_no_file_outside_its_folder(copy: Bundle) -> None:
    manifest = copy.manifest()
    manifest["files"][0]["filename"] = "../../" + manifest["files"][0]["filename"]
    copy.write_manifest(manifest)
    shutil.move(copy.parts()[0], copy.folder.parent)

    assert any("is not there" in fault for fault in verify(copy.file, copy.folder).faults)


def test_of_many_faults_some_are_shown_and_all_are_counted(copy: Bundle) -> None:
    count = 3 * SHOWN
    (copy.folder / ERRORS).write_bytes(b"nonsense\n" * count)
    for part in copy.parts():
        part.write_bytes(b"")
    faults = verify(copy.file, copy.folder).faults

    assert sum("is no line of ours" in fault for fault in faults) == SHOWN
    assert sum(fault.startswith("missing: line") for fault in faults) == SHOWN
    assert f"missing: {GOOD + BAD - SHOWN} more" in faults
    assert f"{copy.folder / ERRORS}: {count - SHOWN} more are no line of ours" in faults
