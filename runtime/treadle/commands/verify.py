"""`treadle verify`: the parity ladder, replayed on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from treadle.commands.options import (
    bundle_argument,
    engine_options,
    json_option,
    print_json,
    table,
    write,
)

HEADER = ("rung", "source", "steps", "max abs", "max rel", "flips", "tolerance", "passed")


@click.command()
@bundle_argument
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    help="Demand a signature by the other half of this ed25519 key, a PEM file.",
)
@engine_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    bundle: Path,
    public_key: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Prove on this device that BUNDLE still is the model that was trained.

    Replays the golden trace and probes whether a row feels its neighbours. Says what it really ran
    on, and whether the bundle is signed. Exits with 1 when a rung is over its tolerance.
    """
    import treadle
    from treadle import selfcheck
    from treadle.signature import read_signature

    with treadle.load(bundle, device=device, threads=threads, public_key=public_key) as model:
        signature = read_signature(model.bundle)
        report, engine = selfcheck.verify(model), model.engine()
    signed = None
    if signature is not None:
        signed = {"key": signature.key, "checked": public_key is not None}
    document = {**report.to_json(), "engine": engine.to_json(), "signature": signed}
    if as_json:
        print_json(document)
    else:
        *lines, verdict = describe(document).splitlines()
        write("\n".join([*lines, str(engine), _signed(signed), verdict]) + "\n")
    if not report.passed:
        ctx.exit(1)


def describe(document: dict[str, Any]) -> str:
    """A report as an aligned table and two sentences."""
    rows = [
        [
            str(rung["name"]),
            str(rung["source"]),
            *(_figure(rung[key]) for key in ("steps", "max_abs", "max_rel", "flips", "tolerance")),
            "yes" if rung["passed"] else f"NO, from step {_figure(rung['first_step'])}",
        ]
        for rung in document["rungs"]
    ]
    invariance = document["invariance"]
    promise = "promised exact" if invariance["promised"] else "not promised"
    return (
        f"{table(HEADER, rows)}\n"
        f"largest difference to a row alone: in a batch {_figure(invariance['batch'])}, "
        f"in chunks {_figure(invariance['chunk'])} ({promise})\n"
        f"{'passed' if document['passed'] else 'FAILED'}"
    )


def _signed(signature: dict[str, Any] | None) -> str:
    if signature is None:
        return "not signed"
    how = "checked" if signature["checked"] else "not checked: --public-key"
    return f"signed with the key {signature['key']} ({how})"


def _figure(value: Any) -> str:
    """A number short enough for a column; a dash where it has no meaning."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2g}"
    if isinstance(value, dict):
        return " ".join(f"{key} {_figure(part)}" for key, part in value.items())
    return str(value)
