"""Stacks with residual connections and normalized inputs cross the whole road to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import treadle
from tests.export.small_models import untrained_run
from treadle_export.exporting.exporter import export_run

if TYPE_CHECKING:
    from pathlib import Path

CHANGES = ("network.residual=true", "network.layer_norm=true", "network.decoder_layers=2")


@pytest.mark.parametrize(
    ("cell", "more"),
    [
        pytest.param(
            *("lstm", ("network.forget_bias=2", "network.variational_dropout=true")),
            marks=pytest.mark.slow,
        ),
        ("lstm-peephole", ("network.forget_bias=1",)),
        ("gru", ("network.attention=fixed",)),
    ],
)
@pytest.mark.usefixtures("made_up")
def test_every_rung_holds_in_float32_and_int8(
    cell: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    run = untrained_run(tmp_path / "run", f"network.cell={cell}", *CHANGES, *more)
    for name, parameter in run.network.named_parameters():
        if ".norms." in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)  # else a normalization without them passes
    outs = {name: tmp_path / f"{name}.treadle" for name in ("float32", "int8")}
    reports = export_run(run, outs)
    for name, report in reports.items():
        assert report.passed, (name, report)
    assert reports["int8"].invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}
    with treadle.load(outs["int8"]) as model:
        states = [port.name for port in model.manifest.graphs["step"].state]
    parts = ("hidden", "cell") if cell.startswith("lstm") else ("hidden",)
    assert states == [f"decoder.{layer}.{part}" for layer in range(2) for part in parts]
