"""A file of the corpus and its outcome, written by hand from the README's rules."""

import json
from dataclasses import dataclass, field
from typing import Any

Answered = tuple[str, str]
"""A prompt_id and the text that `echo` gives back for it."""

Error = tuple[int, str, str | None]
"""A physical line, its error, and its prompt_id where it can be read."""

FIRST = b'{"prompt_id": "first", "prompt": "one"}'
LAST = b'{"prompt_id": "last", "prompt": "three"}'
AROUND = (("first", "one"), ("last", "three"))


@dataclass(frozen=True)
class Case:
    """`job_error` is the code of a job that ends FAILED. `said` maps a line to words that its message must hold,
    `models` a prompt_id to the model that its line asks for."""

    name: str
    content: bytes
    prompt_count: int
    answered: tuple[Answered, ...] = ()
    errors: tuple[Error, ...] = ()
    job_error: str | None = None
    said: dict[int, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def has_files(self) -> bool:
        """Whether there is anything to download: a file that is refused as a whole is not even begun."""
        return self.job_error not in ("empty_input", "unsupported_encoding", "limit_exceeded")


def row(prompt_id: str, prompt: str = "text") -> bytes:
    """A good line, written by the standard library with every character as it is."""
    return json.dumps({"prompt_id": prompt_id, "prompt": prompt}, ensure_ascii=False).encode()


def refused(name: str, content: bytes, job_error: str) -> Case:
    """A file that is refused before a line of it counts."""
    return Case(name, content, 0, job_error=job_error)


def bad(name: str, line: bytes, error: str, prompt_id: str | None = None, said: str = "") -> Case:
    """A bad line between two good ones: it costs only itself."""
    content = FIRST + b"\n" + line + b"\n" + LAST + b"\n"
    return Case(name, content, 3, AROUND, ((2, error, prompt_id),), said={2: said})


def fine(name: str, line: bytes, prompt_id: str = "second", text: str = "two", model: str = "echo-1") -> Case:
    """A line between two good ones that looks odd and is good."""
    content = FIRST + b"\n" + line + b"\n" + LAST + b"\n"
    return Case(name, content, 3, (AROUND[0], (prompt_id, text), AROUND[1]), models={prompt_id: model})


def hopeless(name: str, content: bytes, *errors: Error) -> Case:
    """A file without one good line."""
    return Case(name, content, len(errors), errors=errors, job_error="no_valid_prompts")
