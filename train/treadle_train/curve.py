"""The learning curve of a run: history.csv and curve.png."""

import csv
import io
from pathlib import Path

from treadle.files import write_atomically

CSV = "history.csv"
PNG = "curve.png"


def write_history(run: Path, history: list[dict[str, float]]) -> None:
    """One row an epoch, the keys of the first row as header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(run / CSV, text.getvalue().encode())


def write_curve(run: Path, history: list[dict[str, float]]) -> None:
    """Loss of training and validation on the left, the task's own figure on the right."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("train_loss", "validation_loss"):
        left.plot(epochs, [row[name] for row in history], "o-", label=name.replace("_", " "))
    left.set_ylabel("loss")
    left.legend()
    measured = [n for n in history[0] if n.startswith("validation_") and n != "validation_loss"]
    for name in measured:
        label = name.removeprefix("validation_").replace("_", " ")
        right.plot(epochs, [row[name] for row in history], "o-", color="tab:green")
        right.set_ylabel(f"{label} (validation)")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    write_atomically(run / PNG, image.getvalue())
