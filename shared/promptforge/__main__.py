"""`python -m promptforge` is the `promptforge` command."""

from promptforge.cli import main

main()
