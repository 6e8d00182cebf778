"""`promptforge run`: one file of prompts in, its results in a folder."""

import sys
from pathlib import Path

import click

from promptforge.cli.options import data_dir_option, workers_option
from promptforge.settings import ENV_PREFIX


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--provider", required=True, help="Provider: openai, anthropic, gemini, mistral or echo.")
@click.option("--model", required=True, help="Model, by the provider's name for it.")
@click.option(
    "--max-retries",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    help="Number of further attempts for a prompt whose call failed.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--url",
    help="Running service to use; {function} in it stands for the name of each function."
    " Without it, an engine runs for the duration of the command.",
)
@click.option("--api-key", envvar=ENV_PREFIX + "API_KEY", help="API key for the service at --url.")
@data_dir_option
@workers_option
def run(
    file: Path,
    provider: str,
    model: str,
    max_retries: int,
    output: Path,
    url: str | None,
    api_key: str | None,
    data_dir: Path,
    workers: int,
) -> None:
    """Send FILE, wait for every answer and download the results.

    The exit code is 0 only if no prompt failed.
    """
    from promptforge.cli.run_job import RunOptions, run_job

    if url and not api_key:
        raise click.UsageError(f"--url requires a key: set {ENV_PREFIX}API_KEY or pass --api-key.")
    options = RunOptions(file, provider, model, max_retries, output)
    sys.exit(0 if run_job(options, url, api_key, data_dir, workers) else 1)
