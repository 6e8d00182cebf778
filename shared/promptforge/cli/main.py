"""The command line: its group of commands, and its error messages.

The commands import what they run inside their functions, so that `promptforge --help` stays fast.
"""

import sys

import aiohttp
import click

from promptforge import __version__
from promptforge.cli.keys import keys
from promptforge.cli.run import run
from promptforge.cli.serve import serve
from promptforge.cli.verify import verify
from promptforge.client import RequestFailed
from promptforge.errors import Conflict, Interrupted, PromptForgeError


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Run a file of prompts against a model; get one result line per prompt, in order."""


for command in (keys, run, serve, verify):
    cli.add_command(command)


def main() -> None:
    """Run the `promptforge` command and print errors without a traceback."""
    try:
        cli()
    except Interrupted as exc:
        click.echo(f"promptforge: {exc}", err=True)
        sys.exit(130)
    except Conflict:
        sys.exit("promptforge: Concurrent update; retry.")
    except (PromptForgeError, RequestFailed) as exc:
        sys.exit(f"promptforge: {exc}")
    except (aiohttp.ClientError, OSError) as exc:
        sys.exit(f"promptforge: {type(exc).__name__}: {exc}")
