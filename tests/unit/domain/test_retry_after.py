"""The parser of the header Retry-After."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.retry_after import parse_retry_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("0.25", 0.25), (" 7 ", 7.0), ("86400", 86400.0), ("120", 120.0)],
)
def test_parse_retry_after_number_returns_seconds(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "-1",
        "-0.5",
        "NaN",
        "nan",
        "inf",
        "-inf",
        "Infinity",
        "1e9",
        "1e999",
        "86401",
        "9" * 5000,
        "soon",
        "7 seconds",
        "7s",
        "1,5",
        "0x10",
        "Wed, 31 Feb 2024 00:00:00 GMT",
        "Wed, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 2024 25:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +9999",
    ],
)
def test_parse_retry_after_malformed_value_returns_none(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None


def test_parse_retry_after_future_date_returns_seconds() -> None:
    assert parse_retry_after(formatdate(NOW + 90, usegmt=True), NOW) == 90.0


@pytest.mark.parametrize("date", ["Wed, 15 Nov 2023 00:14:20 +0200", "Tue, 14 Nov 2023 14:14:20 -0800"])
def test_parse_retry_after_date_with_zone_uses_zone(date: str) -> None:
    assert parse_retry_after(date, NOW) == 60.0


def test_parse_retry_after_obsolete_date_returns_seconds() -> None:
    assert parse_retry_after("Tuesday, 14-Nov-23 22:14:20 GMT", NOW) == 60.0


@pytest.mark.parametrize("seconds_ahead", [-1, -3600, -(10**9), 86_402, 10**9])
def test_parse_retry_after_past_or_distant_date_returns_none(seconds_ahead: int) -> None:
    assert parse_retry_after(formatdate(NOW + seconds_ahead, usegmt=True), NOW) is None


DATE_WORDS = [
    "Mon,",
    "Tuesday,",
    "01",
    "31",
    "Jan",
    "Feb",
    "1994",
    "0000",
    "99999",
    "GMT",
    "-0000",
    "+9999",
    "24:60:60",
    "8:4",
]


@settings(max_examples=300)
@given(st.text() | st.lists(st.sampled_from(DATE_WORDS), max_size=7).map(" ".join), st.floats(0, 4e9))
def test_parse_retry_after_any_text_returns_bounded_seconds_or_none(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now)

    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize("date", ["Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000"])
def test_parse_retry_after_date_without_zone_is_utc(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert parse_retry_after(date, 784111767.0) == 10.0
    finally:
        monkeypatch.undo()
        time.tzset()
