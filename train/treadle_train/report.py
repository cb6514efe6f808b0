"""report.md of a run: its figures, its learning curve, and examples of what it gets wrong."""

from collections.abc import Iterable
from typing import Any

import torch

from treadle.files import write_atomically
from treadle.metrics import as_loss
from treadle_train.curve import PNG
from treadle_train.mistakes import MISTAKES, table
from treadle_train.run import Run

REPORT = "report.md"


def write_report(run: Run, validation: Any, notes: Iterable[object | None]) -> None:
    """Write report.md. validation: that split of the run's data; notes: said first, if there.

    Raises OSError.
    """
    metric = str(run.evaluation["metric"])
    best = min(run.history, key=lambda row: as_loss(metric, row[f"validation_{metric}"]))
    summary = (
        f"Trained on `{run.evaluation['dataset']}`, seed {run.provenance['seed']}. The weights are "
        f"of epoch {best['epoch']}, whose {metric.replace('_', ' ')} on the validation split was "
        f"{best[f'validation_{metric}']:.4g}."
    )
    with torch.inference_mode():
        mistakes = MISTAKES[run.network.task](run, run.network, validation)
    lines = [
        f"# {run.name}",
        "",
        summary,
        "",
        *(line for note in notes if note is not None for line in (_sentence(note), "")),
        f"![Learning curve]({PNG})",
        "",
        *table(list(run.history[0]), [_cells(row) for row in run.history]),
        "",
        *mistakes,
    ]
    write_atomically(run.path / REPORT, ("\n".join(lines) + "\n").encode())


def _sentence(note: object) -> str:
    """A note as a sentence; `str.capitalize` would put the rest in lower case."""
    text = str(note)
    return f"{text[:1].upper()}{text[1:]}."


def _cells(row: dict[str, float]) -> list[str]:
    return [f"{value:.6g}" for value in row.values()]
