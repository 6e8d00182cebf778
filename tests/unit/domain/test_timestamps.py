"""RFC 3339 timestamps."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.timestamps import rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.5, "1970-01-01T00:00:00.500Z"),
        (1_709_164_800.0, "2024-02-29T00:00:00.000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
    ],
)
def test_rfc3339_returns_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text


def test_rfc3339_none_returns_none() -> None:
    assert rfc3339(None) is None


@given(st.floats(0, 4e9))
def test_rfc3339_text_parses_to_same_millisecond(seconds: float) -> None:
    assert abs(datetime.fromisoformat(rfc3339(seconds)).timestamp() - seconds) < 0.001_01


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_rfc3339_texts_sort_like_times(one: float, other: float) -> None:
    if one <= other:
        assert rfc3339(one) <= rfc3339(other)
