"""What a person sees while a run trains: a bar on a terminal, else one line an epoch; on stderr."""

import sys
from typing import Literal

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar
from typing_extensions import override

from treadle.metrics import METRICS
from treadle_train.callbacks.recorder import Recorder

Progress = Literal["auto", "bar", "lines", "none"]


class EpochLines(Callback):
    """One line an epoch."""

    def __init__(self, recorder: Recorder, epochs: int) -> None:
        self.recorder, self.epochs = recorder, epochs

    @override
    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Say what the epoch brought; the recorder has come before."""
        print(epoch_line(self.recorder.history[-1], self.epochs), file=sys.stderr, flush=True)


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """A row of history in words."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}", f"train loss {row['train_loss']:.3f}"]
    for key, value in row.items():
        name = key.removeprefix("validation_")
        if key == name or name == "loss":
            continue
        unit = METRICS[name].unit
        # A unit such as bits/character repeats the name of its figure; a percent sign does not.
        parts.append(f"validation {name.replace('_', ' ')} {value:.3g}{' %' * (unit == '%')}")
    return ", ".join([*parts, f"{row['seconds']:.0f} s"])


def progress_callbacks(progress: Progress, recorder: Recorder, epochs: int) -> list[Callback]:
    """The callbacks for a kind of progress; "auto" is a bar where stderr is a terminal."""
    bar = progress == "bar" or (progress == "auto" and sys.stderr.isatty())
    if progress == "none":
        return []
    lines: list[Callback] = [EpochLines(recorder, epochs)]
    return [RichProgressBar(console_kwargs={"stderr": True}), *lines] if bar else lines
