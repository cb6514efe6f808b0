"""One rung of the parity ladder: how far two stages of the same model are apart, step by step."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from treadle.tolerances import UNGATED, tolerance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Pair = tuple["NDArray[Any]", "NDArray[Any]"]


@dataclass(frozen=True, slots=True)
class Rung:
    """The outcome of one comparison.

    `max_abs` and `tolerance` are of the tensor that comes nearest to its bound, or is the farthest
    over it; `max_rel` is relative to the largest magnitude of the compared tensor; `flips` counts
    steps whose arg-max differs; `first_step` is the first one over a bound, None if there is none.
    Where the table allows jumps to a model that attends, a rung passes with outputs over at a few
    steps, if they are finite.
    A tensor within [-1, 1], as states are, is held to the table's tolerance as it stands, a larger
    one, as logits are, in proportion to its largest magnitude: float32 has digits, not decimals.
    """

    name: str
    source: Literal["replayed", "recorded"]
    steps: int
    max_abs: float
    max_rel: float
    flips: int
    first_step: int | None
    tolerance: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """The rung as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: object) -> Rung:
        """The rung in a JSON object, as recorded. Raises ValueError when it is none."""
        if not isinstance(document, dict) or set(document) != set(cls.__slots__):
            raise ValueError(f"{document!r} is no rung")
        numbers = ("steps", "max_abs", "max_rel", "flips", "tolerance")
        plain = all(type(document[name]) in (int, float) for name in numbers)
        if not plain or type(document["passed"]) is not bool or type(document["name"]) is not str:
            raise ValueError(f"{document!r} has a field of another type")
        return cls(**{**document, "source": "recorded"})


def compare(
    name: str,
    precision: str,
    *,
    states: Sequence[Pair] = (),
    outputs: Sequence[Pair] = (),
    choices: Pair | None = None,
    attends: bool = False,
    gated: bool = True,
    source: Literal["replayed", "recorded"] = "recorded",
    processor: str | None = None,
) -> Rung:
    """Compares expected and actual arrays, the first axis of each being the step.

    Args:
        name: the rung, a name of the table of tolerances.
        precision: the precision on the rung's far side.
        states: (expected, actual) arrays `[steps, …]`; pairs may have different numbers of steps.
        outputs: the same for outputs.
        choices: (expected, actual) arg-max `[steps]`, compared for flips.
        gated: whether every recurrent layer has gates; else states have UNGATED times the room.
        attends: whether outputs depend on attention, which may turn from one place to another.
        source: whether this device has just replayed the rung.
        processor: as `tolerance` takes it.
    """
    allowed = tolerance(name, precision, processor)
    pairs = [*states, *outputs]
    errors = [_largest_by_step(expected, actual) for expected, actual in pairs]
    largest = [float(error.max(initial=0.0)) for error in errors]
    scales = [float(np.abs(expected).max(initial=0.0)) for expected, _ in pairs]
    state_bound = allowed.absolute if gated else UNGATED * allowed.absolute
    bounds = [state_bound] * len(states) + [allowed.outputs] * len(outputs)
    limits = [bound * max(1.0, scale) for bound, scale in zip(bounds, scales, strict=True)]
    over = [np.flatnonzero(~(e <= limit)) for e, limit in zip(errors, limits, strict=True)]
    first = min((int(steps[0]) for steps in over if steps.size), default=None)
    shares = [0.0] * len(states) + [allowed.jumps * attends] * len(outputs)
    few = all(o.size <= share * len(e) for o, share, e in zip(over, shares, errors, strict=True))
    finite = math.isfinite(max(largest, default=0.0))
    nearest = max(zip(largest, limits, strict=True), key=_nearness, default=(0.0, allowed.absolute))
    changed = np.zeros(0, bool) if choices is None else choices[0] != choices[1]
    flips = int(np.count_nonzero(changed))
    return Rung(
        name=name,
        source=source,
        steps=max([len(error) for error in errors] + [len(changed)]),
        max_abs=nearest[0],
        max_rel=max((e / (s or 1.0) for e, s in zip(largest, scales, strict=True)), default=0.0),
        flips=flips,
        first_step=first,
        tolerance=nearest[1],
        passed=few and finite and flips <= allowed.flips * max(len(changed), 1),
    )


def _nearness(error_and_bound: tuple[float, float]) -> tuple[float, float]:
    """How much of a bound an error takes; of equal shares the largest error goes first."""
    error, bound = error_and_bound
    return (error / bound if bound else math.inf * error if error else 0.0), error


def _largest_by_step(expected: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
    """The largest difference at each step; a value that is not finite counts as infinite."""
    difference = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    largest: NDArray[np.float64] = difference.reshape(len(difference), -1).max(axis=1, initial=0.0)
    return largest
