"""The Retry-After header of a provider: any value gives a bounded wait or none."""

import math
from email.utils import format_datetime

from hypothesis import example, given
from hypothesis import strategies as st

from promptforge.domain.retry_after import parse_retry_after
from tests.fuzz.effort import examples

WORDS = [
    *("Mon,", "Monday,", "1", "01", "32", "-1", "Jan", "feb", "Sept", "1994", "94", "0", "-5", "9999", "99999", "1e9"),
    *("00:00:00", "24:60:60", "8:4", "8.4.1", ":", "::", "GMT", "UTC", "EST", "Z", "+0000", "-0000", "+9999", "-9999"),
    *("(comment)", "(", ")", ",", ";", "-", "+", "/", "T", ".", "²", "٣", "1_0", "\x00", "\n", "\u2028", "\ud800", '"'),
]
NUMBERS = ["0", "7", "-7", "0.5", ".5", "5.", "1e3", "1e309", "nan", "-nan", "inf", "infinity", "0x1", "1_0", "٣", "²"]

numbers = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.floats().map(str),
    st.sampled_from(NUMBERS),
    st.integers(1, 9000).map("9".__mul__),
)
dates = st.datetimes(timezones=st.timezones() | st.none()).map(format_datetime)
phrases = st.builds(str.join, st.sampled_from([" ", "", "-"]), st.lists(st.sampled_from(WORDS), max_size=9))
latin = st.binary(max_size=40).map(lambda raw: raw.decode("latin-1"))
headers = st.one_of(numbers, dates, phrases, st.text(max_size=40), latin)
damaged = st.tuples(headers, st.integers(0, 40), headers).map(lambda three: three[0][: three[1]] + three[2])
clocks = st.floats(0, 4e9) | st.sampled_from([0.0, -1e12, 1e12, 1e308, math.inf, -math.inf, math.nan])


@examples(1500)
@given(headers | damaged, clocks)
@example("", 0.0)
@example("Mon, 01 Jan 0001 00:00:00 +2359", 0.0)
@example("Fri, 31 Dec 9999 23:59:59 -2359", 0.0)
def test_parse_retry_after_any_header_returns_bounded_seconds_or_none(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now)

    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= 86_400)


@examples(500)
@given(st.floats(0, 86_400))
def test_parse_retry_after_number_in_range_is_unchanged(seconds: float) -> None:
    assert parse_retry_after(repr(seconds), 0.0) == seconds
