import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.duplicate_ids import DuplicateIdFinder


def taken(prompt_ids: list[str], window: int, batch: int) -> dict[int, int]:
    """What is found out when the ids come in batches."""
    seen, found = DuplicateIdFinder(window), dict[int, int]()
    for first in range(0, len(prompt_ids), batch):
        ids = prompt_ids[first : first + batch]
        seen.add(ids, range(first + 1, first + len(ids) + 1))
        if seen.full:
            found |= seen.resolve()
    return found | seen.resolve()


def modelled(prompt_ids: list[str]) -> dict[int, int]:
    """What is true."""
    first: dict[str, int] = {}
    firsts = {line: first.setdefault(prompt_id, line) for line, prompt_id in enumerate(prompt_ids, start=1)}
    return {line: one for line, one in firsts.items() if line != one}


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from("abcdefghij") | st.text(max_size=3), max_size=60), st.integers(1, 12), st.integers(1, 9)
)
def test_every_repeated_line_is_told_who_was_first_and_no_other(prompt_ids: list[str], window: int, batch: int) -> None:
    assert taken(prompt_ids, window, batch) == modelled(prompt_ids)


@pytest.mark.parametrize("window", [1, 2, 3, 1000])
def test_a_third_use_is_told_the_first_line_and_not_the_second(window: int) -> None:
    assert taken(["a", "a", "b", "c", "a", "b", "a"], window, 2) == {2: 1, 5: 1, 6: 3, 7: 1}


def test_uses_far_apart_are_told_the_right_line() -> None:
    ids = [f"id-{number}" for number in range(5000)]

    found = taken(ids + ids[::-1] + ids, window=97, batch=10)

    once = list(range(1, 5001))
    assert found == dict(zip(range(5001, 15_001), once[::-1] + once, strict=True))


def test_ids_that_differ_a_little_are_different() -> None:
    ids = ["a", "A", "a ", " a", "a\x00", "\u00e9", "e\u0301", "0", "1", "-1"]

    assert taken(ids, window=2, batch=1) == {}


def test_many_ids_take_little_memory_each() -> None:
    seen, many = DuplicateIdFinder(window=2000), 40_000

    tracemalloc.start()
    for first in range(1, many, 1000):
        seen.add([f"id-{line}" for line in range(first, first + 1000)], range(first, first + 1000))
        if seen.full:
            assert seen.resolve() == {}
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert held < 16 * many
    seen.add(["id-1"], [many + 1])
    assert seen.resolve() == {many + 1: 1}
