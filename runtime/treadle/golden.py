"""The golden trace: what a model did at export, recorded so that a device can prove itself.

One row of real input, carried from the initial state. At a few checkpoints it keeps the state
before the step (torch's), and the outputs and the state after it, as the bundle's own graph gave
them where the engine wrote them ("bundle") and as torch gave the outputs ("torch").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import BundleError
from treadle.npz import from_npz, to_npz

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GOLDEN_FILE = "golden.npz"


@dataclass(frozen=True, slots=True)
class Golden:
    """A recorded trace; N steps, K checkpoints, C sampled output columns.

    source: int64 [S] or float32 [S, …], what an encoder read; empty for a model without one.
    inputs: [N, …], what the decoder read.
    choices: {"torch", "bundle"} -> arg-max [N] of each step, free-running.
    checkpoints: int64 [K]; columns: int64 [C].
    outputs: {"torch", "bundle"} -> float32 [K, C]; state, next_state: name -> float32 [K, …].
    parts: other graph -> its own trace, for what no step goes through. An RNN-T's predictor reads
    symbols; of its joiner both inputs stand side by side.
    """

    source: NDArray[Any]
    inputs: NDArray[Any]
    choices: dict[str, NDArray[np.int64]]
    checkpoints: NDArray[np.int64]
    columns: NDArray[np.int64]
    outputs: dict[str, NDArray[np.float32]]
    state: dict[str, NDArray[np.float32]]
    next_state: dict[str, NDArray[np.float32]]
    parts: dict[str, Golden] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """A compressed `.npz`, byte for byte the same for the same trace."""
        return to_npz({name: _narrow(array) for name, array in self._arrays().items()})

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _PLAIN}
        for group in _GROUPS:
            arrays |= {f"{group}.{name}": array for name, array in getattr(self, group).items()}
        for part, golden in self.parts.items():
            arrays |= {f"{part}.{name}": array for name, array in golden._arrays().items()}
        return arrays

    @classmethod
    def from_bytes(cls, content: bytes) -> Golden:
        """Reads a trace. Raises BundleError when the file is not one."""
        try:
            arrays = {name: _wide(array) for name, array in from_npz(content).items()}
            return cls._of(arrays, PARTS)
        except (ValueError, KeyError) as error:
            raise BundleError(
                f"expected a golden trace in {GOLDEN_FILE}, got a file that cannot be read "
                f"({error}); fetch or export the bundle again"
            ) from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]], parts: Sequence[str] = ()) -> Golden:
        """Raises KeyError where an array is missing."""
        known: dict[str, Any] = {name: arrays[name] for name in _PLAIN}
        known |= {group: _under(group, arrays) for group in _GROUPS}
        under = {name: _under(name, arrays) for name in parts}
        return cls(**known, parts={name: cls._of(part) for name, part in under.items() if part})


def _under(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    start = f"{prefix}."
    return {n[len(start) :]: array for n, array in arrays.items() if n.startswith(start)}


PARTS = ("predictor", "joiner")
_PLAIN = ("source", "inputs", "checkpoints", "columns")
_GROUPS = ("choices", "outputs", "state", "next_state")


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Ids as int32: they are small, and the trace should be."""
    return array.astype(np.int32) if array.dtype == np.int64 else array


def _wide(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.int64) if array.dtype == np.int32 else array
