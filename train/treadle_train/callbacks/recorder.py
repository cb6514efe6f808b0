"""After every epoch: one row of history, the best weights, the learning curve, early stopping."""

import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save
from typing_extensions import override

from treadle.files import write_atomically
from treadle.metrics import as_loss
from treadle_train.curve import write_curve, write_history
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.run import WEIGHTS, write_run


class Recorder(Callback):
    """Keeps the history of a run, also in run.json, and the weights of its best epoch.

    The first of the module's figures decides; which way is better stands in the table of metrics,
    and less is of what is not in it. Of epochs with the same figure, as a small validation split
    has many, the one with the least loss is the best. Training stops when it has not
    improved for `patience` epochs (0: never).
    """

    def __init__(self, run: Path, document: dict[str, Any], patience: int) -> None:
        self.run, self.document = run, document
        self.patience = patience
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] | None = None
        self.started = time.perf_counter()
        self.before = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return {"history": self.history, "best": self.best, "elapsed": self.elapsed}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.history, self.best = list(state["history"]), state["best"]
        self.before = state["elapsed"]

    @property
    def elapsed(self) -> float:
        """Seconds of training in this epoch, also before an interruption."""
        return self.before + time.perf_counter() - self.started

    @property
    def stale(self) -> int:
        """Epochs since the best one."""
        return len(self.history) - int(self.best["epoch"]) if self.best else 0

    @property
    def exhausted(self) -> bool:
        """Whether patience is over."""
        return bool(self.patience) and self.stale >= self.patience

    @override
    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    @override
    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write down the epoch; validation is over by now.

        Raises TrainingError when validation measured what is not finite; nothing is written then.
        """
        module = _task_module(pl_module)
        figures = module.figures()
        for name, value in figures.items():
            module.check_finite(f"validation {name.replace('_', ' ')}", value)
        row = {
            "epoch": len(self.history) + 1,
            "step": module.position.step,
            "seconds": round(self.elapsed, 3),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": module.train_totals.mean,
            **{f"validation_{name}": value for name, value in figures.items()},
        }
        module.train_totals = Totals()
        self.started, self.before = time.perf_counter(), 0.0
        self.history.append(row)
        name, value = next(iter(figures.items()))
        better = self.best is None or self._merit(name, row) < self._merit(name, self._best_row())
        if better:
            self.best = {"epoch": row["epoch"], "value": value}
        if module.group.first:
            self._write(module, weights=better)
        if self.exhausted:
            trainer.should_stop = True

    def _write(self, module: TaskModule[Any], *, weights: bool) -> None:
        if weights:
            tensors = {k: v.contiguous() for k, v in module.trained_weights().items()}
            write_atomically(self.run / WEIGHTS, save(tensors))
        write_run(self.run, self.document | {"history": self.history, "best": self.best})
        write_history(self.run, self.history)
        write_curve(self.run, self.history)

    def _best_row(self) -> dict[str, float]:
        """The history of the best epoch."""
        return self.history[int(self.best["epoch"]) - 1] if self.best else {}

    @staticmethod
    def _merit(name: str, row: dict[str, float]) -> tuple[float, float]:
        """What decides between epochs: less is better."""
        return as_loss(name, row[f"validation_{name}"]), row.get("validation_loss", 0.0)


def _task_module(module: lightning.LightningModule) -> TaskModule[Any]:
    if not isinstance(module, TaskModule):
        raise TypeError(f"Expected a TaskModule, got {type(module).__name__}.")
    return module
