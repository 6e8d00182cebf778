"""Job ids: UUIDs of RFC 9562."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import Field

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JOB_ID = re.compile(_UUID)
UUID_RANDOM, UUID_CUSTOM = 4, 8
"""Versions of RFC 9562: random bits, and bits that the application chooses."""

JobId = Annotated[str, Field(pattern=f"^{_UUID}$")]


def make_job_id(bits: int, version: int) -> str:
    """Return the UUID of 128 bits; 6 of them are replaced by its version and variant."""
    bits = bits & ~(0xF << 76) | version << 76
    bits = bits & ~(0b11 << 62) | 0b10 << 62  # by hand: UUID(version=8) requires Python 3.14
    return str(UUID(int=bits))


def is_job_id(text: str) -> bool:
    """Return whether a text has the form of a job id; anything else is never looked up."""
    return _JOB_ID.fullmatch(text) is not None
