"""The objects in files."""

import asyncio
from pathlib import Path

from tests.harness.in_process import in_process_stack


async def test_file_objects_create_cancelled_at_any_moment_leaves_a_whole_object_or_none(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        for number in range(40):
            name = f"object-{number}"
            writing = asyncio.create_task(stack.context.work.create(name, b"content"))
            for _ in range(number):
                await asyncio.sleep(0.0005)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await stack.context.work.create(name, b"content")

            assert b"".join([block async for block in stack.context.work.read(name)]) == b"content"
