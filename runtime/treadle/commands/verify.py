"""`treadle verify`: the parity ladder, replayed on this device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.commands.options import bundle_argument, engine_options, json_option, print_json
from treadle.commands.report import print_report

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@bundle_argument
@engine_options
@json_option
@click.pass_context
def verify(ctx: click.Context, bundle: Path, device: str, threads: int, as_json: bool) -> None:
    """Prove on this device that BUNDLE still is the model that was trained.

    Replays the golden trace and probes whether a row feels its neighbours. Exits with 1 when a
    rung is over its tolerance.
    """
    import treadle
    from treadle import selfcheck

    with treadle.load(bundle, device=device, threads=threads) as model:
        report = selfcheck.verify(model)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
    if not report.passed:
        ctx.exit(1)
