"""A training whose numbers are no longer finite ends, and says what can be done."""

import math

from treadle.errors import TrainingError


def check_finite(what: str, value: float, *, step: int, rate: float) -> None:
    """Raise TrainingError unless `value`, the `what` of the step `step`, is a finite number.

    rate: the learning rate of that step. Nothing has been moved or written by it yet.
    """
    if math.isfinite(value):
        return
    raise TrainingError(
        f"Training has diverged: at step {step} the {what} is {value}, at a learning rate of "
        f"{rate:.3g}. Try a third of training.learning_rate, a smaller training.gradient_clip or "
        "a longer training.warmup, in another directory or with --force. The last checkpoint and "
        "the best weights are from before and untouched: --resume goes on from there, for a fault "
        "that was not the recipe's."
    )
