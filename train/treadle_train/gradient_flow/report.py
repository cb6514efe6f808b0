"""What `treadle gradients` leaves behind: gradients.json and gradients.png."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.files import write_atomically
from treadle_train.files import write_json
from treadle_train.gradient_flow.flow import EXPLODED, VANISHED, Flow

JSON = "gradients.json"
PNG = "gradients.png"


def to_document(flows: Sequence[Flow]) -> list[dict[str, Any]]:
    """One entry a layer and direction, each with its norms from 0 steps back on."""
    return [
        {"layer": f.layer, "verdict": f.verdict, "reach": f.reach, "norms": list(f.norms)}
        for f in flows
    ]


def write_report(folder: Path, document: dict[str, Any], flows: Sequence[Flow]) -> None:
    """Both files, each whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON, document)
    write_plot(folder / PNG, {flow.layer: flow for flow in flows})


def write_plot(path: Path, flows: Mapping[str, Flow]) -> None:
    """Share of the gradient left over steps back, on a logarithmic scale; a line a flow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, flow in flows.items():
        axes.plot([share or float("nan") for share in flow.left], label=name)
    axes.set_yscale("log")
    for bound in (VANISHED, EXPLODED):
        axes.axhline(bound, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xlabel("steps back in time")
    axes.set_ylabel("share of d loss / d state that is left")
    axes.grid(alpha=0.3)
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    write_atomically(path, image.getvalue())
