"""Which epoch is the best: by its figure, and among equal ones by its loss."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from typing_extensions import override

from treadle_train.callbacks.recorder import Recorder
from treadle_train.modules.base import Position, TaskModule, Totals
from treadle_train.processes.group import Group

if TYPE_CHECKING:
    from pathlib import Path


class Measured(TaskModule[Any]):
    """A module of given figures."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.measured: dict[str, float] = {}
        self.position, self.train_totals, self.group = Position(), Totals(), Group()

    @override
    def trained_weights(self) -> dict[str, torch.Tensor]:
        return {"weight": torch.ones(1)}

    @override
    def check_finite(self, what: str, value: float) -> None:
        del what, value

    @override
    def figures(self) -> dict[str, float]:
        return self.measured

    def loss(self, batch: Any) -> Any: ...

    def carried_state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore_carried(self, state: dict[str, torch.Tensor]) -> None: ...


@pytest.mark.parametrize(
    ("name", "epochs", "best"),
    [
        ("accuracy", [(90, 0.5), (96, 0.4), (96, 0.3), (96, 0.35), (93, 0.1)], 3),
        ("accuracy", [(96, 0.3), (96, 0.3)], 1),
        ("word_error_rate", [(30, 1.0), (20, 2.0), (20, 1.5)], 3),
    ],
)
def test_the_best_epoch(
    name: str, epochs: list[tuple[float, float]], best: int, tmp_path: Path
) -> None:
    recorder, module = Recorder(tmp_path, {}, 0), Measured()
    trainer = SimpleNamespace(
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])], should_stop=False
    )
    for value, loss in epochs:
        module.measured = {name: value, "loss": loss}
        recorder.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
    document = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert document["best"] == {"epoch": best, "value": epochs[best - 1][0]}
