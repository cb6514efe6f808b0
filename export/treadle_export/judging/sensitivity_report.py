"""Shows what quantization hurts: as a table, and as a picture."""

import io
from pathlib import Path

from treadle.commands.options import table
from treadle.files import write_atomically
from treadle_export.judging.sensitivity import Harm, Sensitivity

HEADER = ("weights alone", "parameters", "rise, nats a symbol", "± one error", "relative")


def as_table(result: Sensitivity) -> str:
    """One row a matrix or gate, the worst first, and the whole model at the end."""
    rows = [
        [
            _name(harm),
            f"{harm.parameters:,}",
            f"{harm.rise:+.5f}",
            f"{harm.error:.5f}",
            f"{harm.relative:+.3%}",
        ]
        for harm in result.harms
    ]
    whole = result.whole - result.float32
    parameters = sum(harm.parameters for harm in result.harms if harm.gate is None)
    relative = f"{whole / result.float32:+.3%}"
    rows.append([f"all in {result.precision}", f"{parameters:,}", f"{whole:+.5f}", "", relative])
    return (
        f"{table(HEADER, rows)}\n"
        f"float32: {result.float32:.5f} nats a symbol, {result.symbols:,} symbols of the "
        f"{result.split} split"
    )


def write_plot(result: Sensitivity, path: Path) -> None:
    """A bar for each matrix and gate with its error, as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    harms = list(reversed(result.harms))
    figure = Figure(figsize=(8, 1.2 + 0.24 * len(harms)), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        [_name(harm) for harm in harms],
        [harm.rise for harm in harms],
        xerr=[harm.error for harm in harms],
        color=["tab:blue" if harm.gate is None else "tab:gray" for harm in harms],
        error_kw={"linewidth": 0.8},
    )
    axes.set_xlabel(f"rise in nats a symbol when only this is {result.precision}")
    axes.grid(alpha=0.3, axis="x")
    axes.margins(y=0.01)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    write_atomically(path, image.getvalue())


def _name(harm: Harm) -> str:
    return harm.weight if harm.gate is None else f"{harm.weight}, {harm.gate} gate"
