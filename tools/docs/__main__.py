"""Write the generated pages of the documentation: `python -m tools.docs [FOLDER]`."""

import sys
from pathlib import Path

from tools.docs.api import api_page
from tools.docs.commands import commands_page
from tools.docs.settings import settings_page

FOLDER = Path("docs/reference")


def generate(folder: Path) -> None:
    """Write every generated page into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"api.md": api_page(), "command-line.md": commands_page(), "configuration.md": settings_page()}
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
