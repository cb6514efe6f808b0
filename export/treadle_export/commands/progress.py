"""Tells on stderr which stage a command has come to."""

from collections.abc import Callable
from pathlib import Path

import click


def progress_of(path: Path) -> Callable[[str], None]:
    """Tells a stage of what is made at a path, or of what lies there."""
    return lambda stage: click.echo(f"{path.name}: {stage}", err=True)
