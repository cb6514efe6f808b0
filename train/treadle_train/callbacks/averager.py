"""Puts averaged weights into the network for validation, and takes them out for training."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from treadle_train.modules.averaging import WeightAverage


class Averager(Callback):
    """Validation judges the averages. They move in `TaskModule.optimizer_step`.

    Not Lightning's `WeightAveraging`: its averages live in Lightning's checkpoints, which are
    pickled.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    @override
    def on_validation_start(self, *args: Any, **kwargs: Any) -> None:
        """Judge what the run will keep."""
        self.average.put()

    @override
    def on_validation_end(self, *args: Any, **kwargs: Any) -> None:
        """Go on training."""
        self.average.take_back()

    @override
    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Leave the network as the last step made it, also after Ctrl-C."""
        self.average.take_back()
