"""Checkpoints within and after every epoch, and a graceful end on Ctrl-C."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from treadle_train.callbacks.recorder import Recorder
from treadle_train.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    restore_optimizer,
    write_checkpoint,
)
from treadle_train.modules.base import Position, TaskModule, Totals
from treadle_train.modules.optimization import schedule_state


class Interrupted(Exception):  # noqa: N818 - not a failure
    """Ctrl-C was pressed; the latest checkpoint is on disk, whole."""


class Keeper(Callback):
    """Moves the position on and writes a checkpoint every `every` steps and after every epoch.

    It must come after the Recorder, whose state it keeps. A step is one of the optimizer, which may
    take several batches. The first Ctrl-C lets the step end, writes a checkpoint and raises
    Interrupted; a second one raises it at once. Where processes train together, one that hears
    Ctrl-C ends all of them after the same step, and the first process writes.
    """

    def __init__(
        self, folder: Path, module: TaskModule[Any], recorder: Recorder, every: int, epoch: int
    ) -> None:
        self.folder, self.module, self.recorder, self.every = folder, module, recorder, every
        self.steps_per_epoch = epoch
        self.interrupted = False
        self.pending: Checkpoint | None = None
        self.previous: Any = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take weights, position and history from a checkpoint; the optimizer follows later."""
        document = checkpoint.document
        self.module.network.load_state_dict(checkpoint.tensors["network"])
        self.module.restore_whole_carried(checkpoint.tensors.get("carried", {}))
        if self.module.rounding is not None:
            self.module.rounding.restore(checkpoint.tensors["scales"])
        if self.module.average is not None:
            self.module.average.restore(checkpoint.tensors["average"])
        self.module.position = Position(**document["position"])
        self.module.train_totals = Totals(**document["train_totals"])
        self.recorder.restore(document["recorder"])
        self.pending = checkpoint

    @override
    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Restore optimizer and schedule, which exist by now, and listen for Ctrl-C."""
        if self.pending is not None:
            document, tensors = self.pending.document, self.pending.tensors["optimizer"]
            _schedule(self.module).load_state_dict(document["schedule"])
            restore_optimizer(trainer.optimizers[0], tensors, document["parameter_groups"])
            self.pending = None
        if threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGINT, self._on_signal)

    @override
    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the batch. The last one of an epoch is kept after validation, with the epoch."""
        position = self.module.position
        position.batch += 1
        position.step += 1
        stop = self.module.group.any(self.interrupted)
        if position.batch == self.steps_per_epoch:
            if stop:
                raise Interrupted
            return
        steps, gathered = divmod(position.batch, self.module.section.accumulate)
        if gathered:
            return  # half of a gradient is in no checkpoint
        if stop or steps % self.every == 0:
            self._write(trainer)
        if stop:
            raise Interrupted

    @override
    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Do not make Ctrl-C wait for the end of validation, unless others wait there."""
        if self.interrupted and self.module.group.count == 1:
            raise Interrupted

    @override
    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the end of the epoch."""
        self.module.position.epoch += 1
        self.module.position.batch = 0
        self._write(trainer)
        if self.module.group.any(self.interrupted):
            raise Interrupted

    @override
    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Give Ctrl-C back."""
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
            self.previous = None

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.interrupted:
            raise Interrupted  # Lightning would answer KeyboardInterrupt by ending the process
        self.interrupted = True

    def _write(self, trainer: lightning.Trainer) -> None:
        optimizer = trainer.optimizers[0]
        position, totals = self.module.position, self.module.train_totals
        document = {
            "position": vars(position).copy(),
            "processes": self.module.group.count,
            "train_totals": {"loss": totals.loss, "symbols": totals.symbols},
            "recorder": self.recorder.state(),
            "parameter_groups": optimizer.state_dict()["param_groups"],
            "schedule": schedule_state(_schedule(self.module)),
        }
        tensors = {
            "network": dict(self.module.network.state_dict()),
            "optimizer": optimizer_tensors(optimizer),
            "carried": self.module.whole_carried(),
            "scales": {} if self.module.rounding is None else self.module.rounding.scales,
            "average": {} if self.module.average is None else self.module.average.state(),
        }
        for name, weights in tensors["network"].items():
            self.module.check_finite(f"weight {name}", weights.abs().max().item())
        if self.module.group.first:
            write_checkpoint(self.folder, Checkpoint(tensors, document), position.step)


def _schedule(module: TaskModule[Any]) -> LRScheduler:
    if module.schedule is None:
        raise TypeError("Expected a module whose optimizer has a schedule by now.")
    return module.schedule
