"""Invalid input does not affect valid input: whole files and their documented outcome."""

from pathlib import Path

import orjson
import pytest

from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts

VALID = b'{"prompt_id": "valid", "prompt": "hello"}'
DEEP = b'{"prompt_id": "a", "prompt": "b", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

INVALID_LINES = [
    (b"not json", "invalid_json"),
    (b'{"prompt_id": "a", "prompt": "b"', "invalid_json"),
    (b'{"prompt_id": "a", "prompt": NaN}', "invalid_json"),
    (b'{"prompt_id": "a", "prompt": "b", "x": 1e999}', "invalid_json"),
    (b'{"prompt_id": "a", "prompt": "b", "x": ' + b"9" * 5000 + b"}", "invalid_json"),
    (b'\xef\xbb\xbf{"prompt_id": "a", "prompt": "b"}', "invalid_json"),
    (b'{"prompt_id": "a", "prompt": "\xff"}', "invalid_utf8"),
    (b'{"prompt_id": "a", "prompt": "\\ud800"}', "invalid_utf8"),
    ('{"prompt_id": "a", "prompt": "b"}'.encode("utf-16-le"), "invalid_json"),
    (DEEP, "json_too_deep"),
    (b'["prompt_id", "prompt"]', "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"null", "not_an_object"),
    (b'{"prompt": "b"}', "missing_prompt_id"),
    (b'{"prompt_id": 7.5, "prompt": "b"}', "invalid_prompt_id"),
    (b'{"prompt_id": "", "prompt": "b"}', "invalid_prompt_id"),
    (b'{"prompt_id": null, "prompt": "b"}', "invalid_prompt_id"),
    (b'{"prompt_id": "' + b"x" * 1025 + b'", "prompt": "b"}', "invalid_prompt_id"),
    (b'{"prompt_id": "a"}', "missing_prompt"),
    (b'{"prompt_id": "a", "prompt": ""}', "invalid_prompt"),
    (b'{"prompt_id": "a", "prompt": ["b"]}', "invalid_prompt"),
    (b'{"prompt_id": "a", "prompt": "' + b"x" * 300_000 + b'"}', "line_too_long"),
    (b"\x00", "invalid_json"),
]


async def test_split_invalid_lines_get_errors_with_physical_line_numbers(tmp_path: Path) -> None:
    rows = [b"", b"  \t\r"]
    expected: list[tuple[int, str]] = []
    for number, (line, code) in enumerate(INVALID_LINES):
        rows += [line, b'{"prompt_id": "valid-%d", "prompt": "hello"}' % number, b""]
        expected.append((len(rows) - 2, code))

    async with in_process_stack(tmp_path, max_line_bytes=250_000) as one:
        job_id = await one.run(b"\n".join(rows))
        status, errors, results = await one.status(job_id), await one.errors(job_id), await one.results(job_id)

    assert [(line["line"], line["error"]) for line in errors] == expected
    assert [line["prompt_id"] for line in results] == [f"valid-{number}" for number in range(len(INVALID_LINES))]
    assert status["status"] == "COMPLETED"
    assert (status["prompt_count"], status["completed_count"]) == (2 * len(INVALID_LINES), len(INVALID_LINES))
    assert status["failed_count"] == len(INVALID_LINES)
    for error in errors:
        assert set(error) == {"prompt_id", "error", "message", "attempts", "line"}
        assert error["message"].endswith(".")
        assert error["attempts"] == 0


async def test_split_duplicate_prompt_id_error_names_both_lines(tmp_path: Path) -> None:
    middle = prompts(500)
    content = b"\n" + VALID + b"\n" + middle + VALID.replace(b"hello", b"again") + b"\n" + VALID

    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(content)
        errors, results = await one.errors(job_id), await one.results(job_id)

    assert [(line["error"], line["line"], line["prompt_id"]) for line in errors] == [
        ("duplicate_prompt_id", 503, "valid"),
        ("duplicate_prompt_id", 504, "valid"),
    ]
    assert all("line 2" in line["message"] for line in errors)
    assert [line["result"] for line in results if line["prompt_id"] == "valid"] == ["hello"]
    assert len(results) == 501


@pytest.mark.parametrize(
    "prompt_id",
    [
        "../../x",
        "a/b",
        "__x__",
        ".",
        "\u0000",
        "\u202egnp",
        '=cmd("x")',
        "a\nb",
        "é" * 512,
        "💥" * 256,
        " ",
        "a\u2028b",
    ],
)
async def test_job_any_prompt_id_is_returned_unchanged(tmp_path: Path, prompt_id: str) -> None:
    line = orjson.dumps({"prompt_id": prompt_id, "prompt": "x\u2028y\u0085z\x0bw", "unknown": {"field": [1]}})
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(line)
        (result,) = await one.results(job_id)

    assert (result["prompt_id"], result["result"]) == (prompt_id, "x\u2028y\u0085z\x0bw")


async def test_job_windows_file_with_byte_order_mark_is_completed(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + prompts(60).replace(b"\n", b"\r\n").rstrip()

    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(content)
        results = await one.results(job_id)

    assert [line["result"] for line in results] == [f"prompt {number}" for number in range(60)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_input"),
        (b"\n \n\t\r\n", "empty_input"),
        (b"\xef\xbb\xbf", "empty_input"),
        (b"\x1f\x8b\x08\x00rest", "unsupported_encoding"),
        (VALID.decode().encode("utf-16"), "unsupported_encoding"),
        (b"[\n" + VALID + b",\n" + VALID + b"\n]\n", "unsupported_format"),
        (b"prompt_id,prompt\nvalid,hello\n", "unsupported_format"),
    ],
)
async def test_job_file_without_prompt_ends_failed_with_error(tmp_path: Path, content: bytes, code: str) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(content)
        status = await one.status(job_id)
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

    assert (status["status"], status["error"]["code"], status["prompt_count"]) == ("FAILED", code, 0)
    assert (reply.status_code, reply.json()["code"]) == (409, "no_results")


async def test_job_file_without_valid_line_ends_failed_with_line_errors(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(b"nope\n\n[]\n")
        status, errors, files = await one.status(job_id), await one.errors(job_id), await one.files(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "no_valid_prompts")
    assert (status["prompt_count"], status["completed_count"], status["failed_count"]) == (2, 0, 2)
    assert [(line["line"], line["error"]) for line in errors] == [(1, "invalid_json"), (3, "not_an_object")]
    assert list(files) == ["errors.jsonl"]


async def test_job_file_over_max_lines_is_rejected_before_any_call(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_lines=100) as one:
        job_id = await one.run(prompts(101))
        status = await one.status(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "limit_exceeded")
    assert (status["prompt_count"], status["failed_count"]) == (101, 101)
    assert "worker" not in one.called_functions
