"""JSONL files: inputs for tests, and parsed result files."""

from typing import Any

import orjson

Line = dict[str, Any]
"""A parsed JSON object."""


def parse_lines(content: bytes) -> list[Line]:
    """Parse a JSONL file.

    The last line must end with a newline.
    """
    assert not content or content.endswith(b"\n")
    return [orjson.loads(line) for line in content.split(b"\n") if line]


def prompts(count: int, first: int = 0) -> bytes:
    """Return a valid input of `count` prompts, numbered from `first`: `id-0` has the prompt `prompt 0`."""
    rows = [{"prompt_id": f"id-{number}", "prompt": f"prompt {number}"} for number in range(first, first + count)]
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)
