"""A job with one prompt that the provider rejects.

`tests/README.md` quotes this test as an example.
"""

from pathlib import Path

from aiohttp import web

from tests.fakes.provider import openai_error
from tests.harness.lines import prompts
from tests.harness.openai_stack import openai_stack


async def test_job_with_a_rejected_prompt_completes_with_one_error(tmp_path: Path) -> None:
    async def script(prompt: str, call: int) -> web.Response | None:
        return openai_error(400, "context_length_exceeded") if prompt == "prompt 1" else None

    async with openai_stack(tmp_path, script) as (stack, provider):
        job_id = await stack.run(prompts(3), provider="openai")

        assert (await stack.status(job_id))["status"] == "COMPLETED"
        assert [line["result"] for line in await stack.results(job_id)] == ["PROMPT 0", "PROMPT 2"]
        assert [line["error"] for line in await stack.errors(job_id)] == ["context_too_long"]
        assert provider.call_counts["prompt 1"] == 1
