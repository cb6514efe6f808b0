"""Sections of a recipe about the optimization."""

from dataclasses import dataclass
from typing import Literal

from treadle_train.sections.reading import at_least, rate

PrecisionName = Literal["float32", "bfloat16"]
AcceleratorName = Literal["cpu", "cuda"]
StrategyName = Literal["auto", "ddp"]
ScheduleName = Literal["one-cycle", "constant", "cosine", "plateau"]


@dataclass(frozen=True, kw_only=True)
class TrainingSection:
    """The optimization: Adam, by default with a one-cycle learning rate.

    schedule, plateau_factor, plateau_patience: `modules.optimization.make_schedule`; warmup: the
    share of steps in which the rate rises; accumulate: batches for one step of the optimizer;
    gradient_clip: the gradient's largest norm, clip_value: the largest magnitude of one number in
    it, clipped first (0: none); weight_decay: of matrices, apart from the gradient (0: none);
    average: decay of the moving average of weights that is validated and kept (0: none);
    patience: epochs without a better validation figure before training stops (0: never);
    threads: 0 takes every core; checkpoint_steps: steps between checkpoints inside an epoch;
    validation_limit: examples to validate on (0: all); precision: of the products in training,
    where the processor has them in bfloat16 (mixed_precision.py). accelerator, devices, num_nodes,
    strategy: Lightning's words; as many processes as devices × num_nodes share every batch, and
    "auto" is "ddp" where there are several (processes/).
    """

    epochs: int = at_least(1, 4)
    learning_rate: float = at_least(1e-9, 3e-3)
    warmup: float = rate(0.1)
    label_smoothing: float = rate(0.0)
    schedule: ScheduleName = "one-cycle"
    plateau_factor: float = rate(0.5)
    plateau_patience: int = at_least(0, 1)
    accumulate: int = at_least(1, 1)
    gradient_clip: float = at_least(0, 1.0)
    clip_value: float = at_least(0, 0.0)
    weight_decay: float = at_least(0, 0.0)
    average: float = rate(0.0)
    patience: int = at_least(0, 0)
    seed: int = at_least(0, 0, below=2**31)  # torch takes 63 bits, 32 of them count steps
    threads: int = at_least(0, 0)
    checkpoint_steps: int = at_least(1, 200)
    validation_limit: int = at_least(0, 0)
    precision: PrecisionName = "float32"
    accelerator: AcceleratorName = "cpu"
    devices: int = at_least(1, 1)
    num_nodes: int = at_least(1, 1)
    strategy: StrategyName = "auto"


@dataclass(frozen=True, kw_only=True)
class TransducerTrainingSection(TrainingSection):
    """The optimization of a transducer.

    scheduled_sampling: at the end of training, so many of the symbols that the decoder reads are
    its own; the share rises along a line from 0 (modules/scheduled_sampling.py).
    """

    scheduled_sampling: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class TaggerTrainingSection(TrainingSection):
    """The optimization of a tagger.

    outside_cost: so many nats more must the right tag of a token inside a span be worth than "O",
    in training only (`modules.tagging.TaggerModule`); a tagger then finds more of the spans, and
    more that are none.
    """

    outside_cost: float = at_least(0, 0.0)
