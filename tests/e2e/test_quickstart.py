"""The quickstart, field by field, through the public API."""

import re
from pathlib import Path

from tests.harness.in_process import in_process_stack
from tests.harness.lines import parse_lines, prompts

EXAMPLE = Path(__file__).parents[2] / "examples" / "prompts.jsonl"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


async def test_quickstart_three_prompts_return_three_answers(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job = await one.init(max_retries=2)
        assert set(job) == {"job_id", "upload_url", "expires_at"}
        assert re.fullmatch(TIME, job["expires_at"])

        waiting = await one.status(job["job_id"])
        assert (waiting["status"], waiting["prompt_count"]) == ("AWAITING_UPLOAD", 0)
        assert (waiting["provider"], waiting["model"], waiting["max_retries"]) == ("echo", "echo-1", 2)

        await one.put(job["upload_url"], EXAMPLE.read_bytes())
        await one.wait_until_finished(job["job_id"])
        done = await one.status(job["job_id"])
        assert (done["status"], done["error"]) == ("COMPLETED", None)
        assert (done["prompt_count"], done["completed_count"], done["failed_count"]) == (3, 3, 0)
        assert all(re.fullmatch(TIME, done[name]) for name in ("created_at", "started_processing_at", "completed_at"))
        assert done["created_at"] <= done["started_processing_at"] <= done["completed_at"]

        files = await one.files(job["job_id"])
        assert list(files) == ["results_part_001.jsonl", "errors.jsonl"]
        assert files["errors.jsonl"] == b""
        lines = parse_lines(files["results_part_001.jsonl"])
        assert [line["prompt_id"] for line in lines] == ["greeting", "capital", "haiku"]
        assert lines[1] == {
            "prompt_id": "capital",
            "result": "What is the capital of France?",
            "model": "echo-1",
            "tokens_used": 12,
            "finish_reason": "stop",
            "usage": {"input_tokens": 6, "output_tokens": 6},
            "attempts": 1,
            "latency_ms": lines[1]["latency_ms"],
            "request_id": None,
        }
        assert done["tokens_used"] == sum(line["tokens_used"] for line in lines)


async def test_job_results_are_in_input_order_over_chunks_and_files(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=7, part_lines=300) as one:
        job_id = await one.run(prompts(1000))

        files = await one.files(job_id)
        counts = [content.count(b"\n") for name, content in files.items() if name.startswith("results_part")]
        assert sum(counts) == 1000
        assert max(counts) <= 300
        assert len(counts) == 4
        assert [line["prompt_id"] for line in await one.results(job_id)] == [f"id-{n}" for n in range(1000)]


async def test_split_small_file_has_chunks_for_several_workers(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(40))

        assert ((await one.job(job_id)).chunk_count or 0) >= 8


async def test_finalize_deletes_intermediate_objects(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1, flush_count=1) as one:
        job_id = await one.submit(prompts(50))
        await one.wait_until_finished(job_id)
        assert await one.send("finalizer", *_finish_event(job_id), 1.0)

        stored = await one.database.read(lambda c: c.execute("select bucket, name from objects").fetchall())
        names = {f"{bucket}/{name.partition('/')[2]}" for bucket, name in stored}
        files = {"results/results_part_001.jsonl", "results/errors.jsonl", "results/manifest.json"}
        assert names == {"uploads/input.jsonl", *files}


def _finish_event(job_id: str) -> tuple[dict[str, str], bytes]:
    headers = {"ce-id": "1", "ce-type": "promptforge.task", "ce-source": "//test", "ce-specversion": "1.0"}
    return headers | {"content-type": "application/json"}, b'{"v":1,"job_id":"%s"}' % job_id.encode()
