"""Compare-and-set: a conflict is read, decided and committed again; other errors are raised at once."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from promptforge.errors import Conflict, PromptForgeError, Unavailable
from promptforge.ports.documents import Document, Scalar
from promptforge.state.commit import MAX_TRIES, PAGE_SIZE, read_pages, retry_on_conflict
from tests.harness.chance import MinimumDelay


class Attempt:
    """Raises the errors one after the other and then succeeds."""

    def __init__(self, *errors: PromptForgeError) -> None:
        self._errors = list(errors)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


async def test_retry_on_conflict_returns_the_first_success() -> None:
    attempt = Attempt(Conflict(), Conflict(), Conflict())

    assert await retry_on_conflict(MinimumDelay(), attempt) == "done"
    assert attempt.count == 4


@pytest.mark.parametrize("tries", [1, 12, None])
async def test_retry_on_conflict_after_its_last_try_raises_unavailable(tries: int | None) -> None:
    limit: dict[str, Any] = {} if tries is None else {"max_tries": tries}
    attempt = Attempt(*[Conflict() for _ in range(100)])

    with pytest.raises(Unavailable):
        await retry_on_conflict(MinimumDelay(), attempt, **limit)
    assert attempt.count == (tries or MAX_TRIES)


async def test_retry_on_conflict_raises_any_other_error_at_once() -> None:
    attempt = Attempt(Conflict(), Unavailable("documents", "timeout"))

    with pytest.raises(Unavailable):
        await retry_on_conflict(MinimumDelay(), attempt)
    assert attempt.count == 2


async def test_retry_on_conflict_can_retry_a_lost_reply_as_well() -> None:
    attempt = Attempt(Unavailable("documents", "timeout"), Conflict(), Unavailable("documents", "timeout"))

    assert await retry_on_conflict(MinimumDelay(), attempt, retry_on=(Conflict, Unavailable)) == "done"
    assert attempt.count == 4


async def test_retry_on_conflict_waits_for_random_times_that_grow_to_a_limit() -> None:
    class Recorder(random.Random):
        def uniform(self, a: float, b: float) -> float:
            limits.append(b)
            return a

    limits: list[float] = []
    await retry_on_conflict(Recorder(), Attempt(*[Conflict() for _ in range(9)]))

    assert limits == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 0.64, 0.64]


class Pages:
    """Documents 0 to `count` - 1 of one collection."""

    def __init__(self, count: int) -> None:
        self._documents = [Document(f"c/{number}", {"number": number}, "1") for number in range(count)]
        self.queries: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)

    async def query(
        self,
        collection: str,
        where: Mapping[str, Scalar] | None = None,
        *,
        order_by: str | None = None,
        limit: int,
        after: Document | None = None,
    ) -> list[Document]:
        self.queries.append((collection, where, order_by))
        first = self._documents.index(after) + 1 if after else 0
        return self._documents[first : first + limit]


@pytest.mark.parametrize(("count", "queries"), [(0, 1), (1, 1), (PAGE_SIZE, 2), (PAGE_SIZE + 1, 2), (2 * PAGE_SIZE, 3)])
async def test_read_pages_yields_every_document_once(count: int, queries: int) -> None:
    pages = Pages(count)
    found = [document.data["number"] async for document in read_pages(pages, "c", {"open": True}, "due_at")]

    assert found == list(range(count))
    assert pages.queries == [("c", {"open": True}, "due_at")] * queries
