"""Compare-and-set on documents: read, decide, commit; on a conflict read and decide again.

A decision recognises its own earlier commit, so a commit whose answer was lost does no harm.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

from promptforge.errors import Conflict, PromptForgeError, Unavailable
from promptforge.ports.documents import Document, Documents, Scalar

T = TypeVar("T")

MAX_TRIES = 40
PAGE_SIZE = 200


async def retry_on_conflict(
    rng: random.Random,
    attempt: Callable[[], Awaitable[T]],
    *,
    max_tries: int = MAX_TRIES,
    retry_on: tuple[type[PromptForgeError], ...] = (Conflict,),
) -> T:
    """Run `attempt`, which reads, decides and commits, until it raises no conflict.

    Raises Unavailable when the documents are changed elsewhere at every try.
    """
    for number in range(max_tries):
        try:
            return await attempt()
        except retry_on:
            await pause(rng, number)
    raise Unavailable("documents", "conflict")


async def pause(rng: random.Random, number: int) -> None:
    """Wait for a random time that grows with each try, so that concurrent writers separate."""
    await asyncio.sleep(rng.uniform(0, 0.01 * 2 ** min(number, 6)))


async def read_pages(
    documents: Documents, collection: str, where: Mapping[str, Scalar], order_by: str | None
) -> AsyncIterator[Document]:
    """Yield every document of a query, a page at a time."""
    last: Document | None = None
    while True:
        page = await documents.query(collection, where, order_by=order_by, limit=PAGE_SIZE, after=last)
        for document in page:
            yield document
        if len(page) < PAGE_SIZE:
            return
        last = page[-1]
