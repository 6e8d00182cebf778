"""The generated pages, and a model server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tools.docs.__main__ import generate

from tests.docs.model_server import model_server
from tests.docs.pages import Page


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The generated pages by their paths in the repository."""
    folder = tmp_path_factory.mktemp("reference")
    generate(folder)
    names = {file: f"docs/reference/{file.name}" for file in sorted(folder.iterdir())}
    return {name: Page(name, file.read_text(encoding="utf-8")) for file, name in names.items()}


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    """The base URL of a model server."""
    async with model_server() as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working directory."""
    path = tmp_path / "work"
    path.mkdir()
    return path
