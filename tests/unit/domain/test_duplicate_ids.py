"""The finder of duplicate prompt ids."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.duplicate_ids import DuplicateIdFinder


def find_duplicates(prompt_ids: list[str], window: int, batch: int) -> dict[int, int]:
    """Return the duplicates that the finder reports for ids in batches."""
    finder, found = DuplicateIdFinder(window), dict[int, int]()
    for start in range(0, len(prompt_ids), batch):
        ids = prompt_ids[start : start + batch]
        finder.add(ids, range(start + 1, start + len(ids) + 1))
        if finder.full:
            found |= finder.resolve()
    return found | finder.resolve()


def expected_duplicates(prompt_ids: list[str]) -> dict[int, int]:
    """Return the duplicates by a plain dictionary of all ids."""
    first_lines: dict[str, int] = {}
    firsts = {line: first_lines.setdefault(prompt_id, line) for line, prompt_id in enumerate(prompt_ids, start=1)}
    return {line: first for line, first in firsts.items() if line != first}


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from("abcdefghij") | st.text(max_size=3), max_size=60), st.integers(1, 12), st.integers(1, 9)
)
def test_finder_returns_each_duplicate_with_first_line(prompt_ids: list[str], window: int, batch: int) -> None:
    assert find_duplicates(prompt_ids, window, batch) == expected_duplicates(prompt_ids)


@pytest.mark.parametrize("window", [1, 2, 3, 1000])
def test_finder_third_use_returns_first_line(window: int) -> None:
    assert find_duplicates(["a", "a", "b", "c", "a", "b", "a"], window, 2) == {2: 1, 5: 1, 6: 3, 7: 1}


def test_finder_distant_duplicates_return_first_line() -> None:
    ids = [f"id-{number}" for number in range(5000)]

    found = find_duplicates(ids + ids[::-1] + ids, window=97, batch=10)

    lines = list(range(1, 5001))
    assert found == dict(zip(range(5001, 15_001), lines[::-1] + lines, strict=True))


def test_finder_similar_ids_are_different() -> None:
    ids = ["a", "A", "a ", " a", "a\x00", "\u00e9", "e\u0301", "0", "1", "-1"]

    assert find_duplicates(ids, window=2, batch=1) == {}


def test_finder_many_ids_use_bounded_memory() -> None:
    finder, count = DuplicateIdFinder(window=2000), 40_000

    tracemalloc.start()
    for start in range(1, count, 1000):
        finder.add([f"id-{line}" for line in range(start, start + 1000)], range(start, start + 1000))
        if finder.full:
            assert finder.resolve() == {}
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert used < 16 * count
    finder.add(["id-1"], [count + 1])
    assert finder.resolve() == {count + 1: 1}
