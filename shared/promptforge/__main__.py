"""`python -m promptforge` is the `promptforge` command."""

from promptforge.cli.main import main

main()
