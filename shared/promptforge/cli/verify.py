"""`promptforge verify`: check downloaded results against the input."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def verify(file: Path, folder: Path) -> None:
    """Check that the results in FOLDER hold one line for every prompt of FILE.

    The exit code is 0 only if they do.
    """
    from promptforge.client.verify import verify as verify_results

    verdict = verify_results(file, folder)
    for fault in verdict.faults:
        click.echo(fault)
    if verdict.faults:
        sys.exit(f"promptforge: The results in {folder} do not match {file}.")
    click.echo(
        f"{verdict.lines} prompts: {verdict.results} results and {verdict.errors} errors, each once and in order"
    )
