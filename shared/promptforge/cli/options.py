"""Options that several commands share."""

import os
from pathlib import Path

import click

from promptforge.settings import ENV_PREFIX

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".promptforge"),
    show_default=True,
    envvar=ENV_PREFIX + "DATA_DIR",
    help="Folder for the data of the engine.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=os.cpu_count,
    show_default="cores",
    help="Number of worker processes.",
)
