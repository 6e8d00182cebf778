import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.uniqueness import FILTER_BITS, SeenIds

FILTER_BYTES = 1 << (FILTER_BITS - 3)


def first_lines(prompt_ids: list[str], spill_at: int) -> list[int]:
    seen = SeenIds(spill_at)
    return [seen.first_line(prompt_id, line) for line, prompt_id in enumerate(prompt_ids, start=1)]


def modelled(prompt_ids: list[str]) -> list[int]:
    first: dict[str, int] = {}
    return [first.setdefault(prompt_id, line) for line, prompt_id in enumerate(prompt_ids, start=1)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from("abcdefghij") | st.text(max_size=3), max_size=60), st.integers(1, 8))
def test_every_line_is_told_who_was_first(prompt_ids: list[str], spill_at: int) -> None:
    assert first_lines(prompt_ids, spill_at) == modelled(prompt_ids)


def test_a_new_id_is_its_own_first_line() -> None:
    assert first_lines(["a", "b", "c"], spill_at=2) == [1, 2, 3]


@pytest.mark.parametrize("spill_at", [1, 2, 3, 1000])
def test_a_third_use_is_told_the_first_line_and_not_the_second(spill_at: int) -> None:
    assert first_lines(["a", "a", "b", "c", "a", "b", "a"], spill_at) == [1, 1, 3, 4, 1, 3, 1]


def test_uses_far_apart_are_told_the_right_line() -> None:
    ids = [f"id-{number}" for number in range(5000)]

    lines = first_lines(ids + ids[::-1] + ids, spill_at=97)

    once = list(range(1, 5001))
    assert lines == once + once[::-1] + once


def test_ids_that_differ_a_little_are_different() -> None:
    ids = ["a", "A", "a ", " a", "a\x00", "\u00e9", "e\u0301", "", "0", "1", "-1"]

    assert first_lines(ids, spill_at=2) == list(range(1, len(ids) + 1))


def test_many_ids_take_little_memory_each() -> None:
    seen, many = SeenIds(spill_at=2000), 40_000

    tracemalloc.start()
    for line in range(1, many + 1):
        seen.first_line(f"id-{line}", line)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert seen.first_line("id-1", many + 1) == 1
    assert held - FILTER_BYTES < 32 * many
