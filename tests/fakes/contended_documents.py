"""Documents under constant contention."""

from typing import Any

from promptforge.ports.documents import Document, Documents, Update


class ContendedDocuments:
    """A documents port on which each document that is read is changed before its reader can write it."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def get(self, path: str) -> Document | None:
        return await self._rewrite(await self._documents.get(path))

    async def query(self, *args: Any, **keywords: Any) -> list[Document]:
        page = await self._documents.query(*args, **keywords)
        for document in page:
            await self._rewrite(document)
        return page

    async def _rewrite(self, document: Document | None) -> Document | None:
        if document:
            await self._documents.commit([Update(document.path, document.data, document.version)])
        return document
