"""A file of the corpus and its outcome, written by hand from the documented rules."""

import json
from dataclasses import dataclass, field
from typing import Any

Answered = tuple[str, str]
"""A prompt_id and the text that `echo` returns for it."""

Error = tuple[int, str, str | None]
"""A physical line number, an error code, and the prompt_id if it is readable."""

FIRST = b'{"prompt_id": "first", "prompt": "one"}'
LAST = b'{"prompt_id": "last", "prompt": "three"}'
AROUND = (("first", "one"), ("last", "three"))


@dataclass(frozen=True)
class Case:
    """A file and its expected outcome.

    `job_error` is the code of a job that ends FAILED. `words` maps a line to a part of its error message, and `models`
    maps a prompt_id to the model of its line.
    """

    name: str
    content: bytes
    prompt_count: int
    answered: tuple[Answered, ...] = ()
    errors: tuple[Error, ...] = ()
    job_error: str | None = None
    words: dict[int, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def has_files(self) -> bool:
        """Whether the job has files to download; a job whose whole input is rejected has none."""
        return self.job_error not in ("empty_input", "unsupported_encoding", "limit_exceeded")


def row(prompt_id: str, prompt: str = "text") -> bytes:
    """Return a valid line, written by the standard library without escapes."""
    return json.dumps({"prompt_id": prompt_id, "prompt": prompt}, ensure_ascii=False).encode()


def rejected(name: str, content: bytes, job_error: str) -> Case:
    """Return a file that is rejected before any line counts."""
    return Case(name, content, 0, job_error=job_error)


def invalid(name: str, line: bytes, error: str, prompt_id: str | None = None, words: str = "") -> Case:
    """Return a file with an invalid line between two valid ones, which are not affected."""
    content = FIRST + b"\n" + line + b"\n" + LAST + b"\n"
    return Case(name, content, 3, AROUND, ((2, error, prompt_id),), words={2: words})


def valid(name: str, line: bytes, prompt_id: str = "second", text: str = "two", model: str = "echo-1") -> Case:
    """Return a file with an unusual but valid line between two others."""
    content = FIRST + b"\n" + line + b"\n" + LAST + b"\n"
    return Case(name, content, 3, (AROUND[0], (prompt_id, text), AROUND[1]), models={prompt_id: model})


def no_valid_line(name: str, content: bytes, *errors: Error) -> Case:
    """Return a file without a valid line."""
    return Case(name, content, len(errors), errors=errors, job_error="no_valid_prompts")
