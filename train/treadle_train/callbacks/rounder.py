"""Puts rounded weights into every forward pass of a training, and takes them out for its steps."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from treadle_train.modules.base import TaskModule
from treadle_train.quantization.fake import FakeQuantization

SEARCH_STEPS = 100
"""Optimizer steps after which the scales of blocks are searched anew, until they hold."""


class Rounder(Callback):
    """Rounded weights from the start of a batch until its gradient is known, and in validation."""

    def __init__(self, module: TaskModule[Any], rounding: FakeQuantization) -> None:
        self.module, self.rounding = module, rounding

    @override
    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Search scales where it is time, and round."""
        step = self.module.position.step
        if step % SEARCH_STEPS == 0 and step <= self.module.last_search:
            self.rounding.search()
        self.rounding.put()

    @override
    def on_after_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Let the optimizer move the weights behind the rounded ones."""
        self.rounding.take_back()

    @override
    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Judge what will be exported."""
        self.rounding.put()

    @override
    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Go on training."""
        self.rounding.take_back()

    @override
    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Leave the network as the last step made it, also after Ctrl-C."""
        self.rounding.take_back()
