"""Shows what tuning found: as a table, and as a picture."""

import io
from pathlib import Path

from treadle.commands.options import table
from treadle.files import write_atomically
from treadle_export.tuning.pareto import TIE, Measured, chosen, front
from treadle_export.tuning.result import Result


def as_table(result: Result) -> str:
    """A row a candidate, the fastest first, and why one of them is chosen."""
    best, on_front = chosen(result.measured), front(result.measured)
    header = ["candidate", "threads", "call"]
    for workload in result.workloads:
        header += [f"{workload} p50 µs", "p99 µs"]
    rows = [
        [*_cells(one, result), _verdict(one, best=one is best, on_front=one in on_front)]
        for one in result.measured
    ]
    machine = result.machine
    return (
        f"{table([*header, 'bytes', 'loss', 'verdict'], rows)}\n"
        f"a time step and row; loss: {result.metric}\n"
        f"{machine.processor}, {machine.kind}, {machine.cores} processors, onnxruntime "
        f"{machine.engine}; median of {result.rounds} rounds\n"
        f"{_reason(best)}"
    )


def _cells(one: Measured, result: Result) -> list[str]:
    settings = one.candidate.settings
    figures: list[str] = []
    for workload in result.workloads:
        latency = one.latencies[workload]
        figures += [f"{latency.p50_us:.1f}", f"{latency.p99_us:.1f}"]
    return [
        _name(one),
        str(settings.threads),
        settings.call,
        *figures,
        f"{one.bytes:,}",
        _loss(one),
    ]


def _name(one: Measured) -> str:
    kept = f", {len(one.exceptions)} exceptions" if one.exceptions else ""
    return f"{one.candidate}{kept}"


def _loss(one: Measured) -> str:
    return f"{one.loss:+.2%}"


def _verdict(one: Measured, *, best: bool, on_front: bool) -> str:
    if best:
        return "chosen"
    if not one.offered:
        return "for comparison"
    if not one.eligible:
        return f"over {one.budget:.2%}"
    return "front" if on_front else ""


def _reason(best: Measured | None) -> str:
    if best is None:
        return "chosen: none, as no candidate is within the budget"
    threads = best.candidate.settings.threads
    return (
        f"chosen: {best.candidate}, {threads} thread{'s' * (threads > 1)}, "
        f"{best.candidate.settings.call}: the fastest within the budget of {best.budget:.2%}; of "
        f"those within {TIE:.0%} of it the smallest, with fewest threads"
    )


def write_plot(result: Result, path: Path) -> None:
    """Latency against size and against loss, the front filled and the chosen one starred: a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    best, on_front = chosen(result.measured), front(result.measured)
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, label in ((left, "megabytes"), (right, "loss, %")):
        for one in result.measured:
            y = one.bytes / 1e6 if axes is left else 100 * one.loss
            color = "tab:blue" if one.eligible else "tab:gray"
            axes.scatter(
                one.latency,
                y,
                s=160 if one is best else 36,
                marker="*" if one is best else "o",
                facecolors=color if one in on_front else "none",
                edgecolors=color,
            )
            if one in on_front:
                text = f"{one.candidate}, {one.candidate.settings.threads}t"
                axes.annotate(text, (one.latency, y), fontsize=7, xytext=(4, 3),
                              textcoords="offset points")  # fmt: skip
        axes.set_xlabel("µs a time step and row, median")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    workloads = ", ".join(map(str, result.workloads))
    figure.suptitle(f"{workloads} on {result.machine.processor}; filled: on the Pareto front")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    write_atomically(path, image.getvalue())
