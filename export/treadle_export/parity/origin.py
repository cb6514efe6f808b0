"""Where a model comes from, as the first rungs of the parity ladder see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from treadle.ladder import Rung, compare
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays
from treadle_export.parity.trace import Trace

if TYPE_CHECKING:
    from treadle_export.parity.joined import Joined

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Carried:
    """N steps of one row: outputs [N, V]; states before and after each step, name -> [N, …]."""

    outputs: Floats
    before: dict[str, NDArray[Any]]
    after: dict[str, NDArray[Any]]

    @classmethod
    def of(
        cls, outputs: Sequence[Floats], states: Sequence[Mapping[str, NDArray[Any]]]
    ) -> "Carried":
        """From the outputs [V] of N steps, and N + 1 states of one row, name -> [1, …]."""
        stacked = {n: np.stack([state[n][0] for state in states]) for n in states[0]}
        return cls(
            np.stack(outputs),
            {name: array[:-1] for name, array in stacked.items()},
            {name: array[1:] for name, array in stacked.items()},
        )

    @property
    def choices(self) -> NDArray[np.int64]:
        """The arg-max of each step, [N]."""
        choices: NDArray[np.int64] = self.outputs.argmax(axis=-1)
        return choices

    @property
    def last(self) -> dict[str, NDArray[Any]]:
        """The state after the last step, name -> [1, …]."""
        return {name: states[-1:] for name, states in self.after.items()}


@dataclass(frozen=True, slots=True)
class Reference:
    """What the origin made of a trace.

    rungs: those between stages of the origin itself. context, initial: what a decoder reads and
    starts from, one row. steps: which steps `outputs` [K, V] are of. final: states after the last
    step, where the origin shows them. carried: every step, where the origin can be stepped. joined:
    what it makes of symbols, where it has a predictor and a joiner. precision: of the origin's
    arithmetic, as the table of tolerances has it.
    """

    rungs: tuple[Rung, ...]
    initial: Arrays
    steps: NDArray[np.int64]
    outputs: Floats
    context: Arrays = field(default_factory=dict)
    final: Arrays = field(default_factory=dict)
    carried: Carried | None = None
    joined: "Joined | None" = None
    precision: str = "float32"


class Origin(Protocol):
    """A framework's own model: what every later stage is held against."""

    def reference(self, canonical: CanonicalModel, trace: Trace) -> Reference:
        """Runs the trace, one row, from the initial state."""


def rung_of(
    name: str,
    expected: Floats,
    actual: Floats,
    expected_states: Mapping[str, NDArray[Any]],
    actual_states: Mapping[str, NDArray[Any]],
    choose: bool = True,
    precision: str = "float32",
    *,
    gated: bool = True,
) -> Rung:
    """Outputs of every step, their arg-max if that is an answer, and states that both have."""
    return compare(
        name,
        precision,
        states=[(expected_states[state], actual_states[state]) for state in expected_states],
        outputs=[(expected, actual)],
        choices=(expected.argmax(-1), actual.argmax(-1)) if choose else None,
        gated=gated,
    )
