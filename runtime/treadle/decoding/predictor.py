"""The predictor and the joiner of an RNN-T, called and checked in one place.

R rows of the predictor (a beam for each row of the decoder), P numbers of its output, E numbers
of an encoder's frame, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from treadle.decoding.decoder import log_softmax
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.state import Snapshot

Joiner = Callable[["NDArray[np.float32]", "NDArray[np.float32]"], "NDArray[np.float32]"]


class Predictor(Protocol):
    """The part of a Stream that the decoder uses: it reads ids, and gives one array [R, P]."""

    @property
    def batch_size(self) -> int:
        """Number of rows R."""

    def step(self, x: NDArray[np.int64], *, active: NDArray[np.bool_] | None = None) -> Any:
        """Read one symbol, `x` [R], in the rows `active` [R]; float32 [R, P]."""

    def select(self, rows: NDArray[np.int64]) -> None:
        """Let row i continue from what row `rows[i]` carries."""

    def reset(self, rows: NDArray[np.int64] | None = None) -> None:
        """Take rows back to their initial state."""


@runtime_checkable
class SavedPredictor(Protocol):
    """What a predictor needs besides, so that its decoder can be saved; a Stream has it."""

    def snapshot(self) -> Snapshot:
        """All that is needed to go on from here, of all rows."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from there. Raises StateError, and stays as it was, where that does not fit."""


class Prediction:
    """What the predictor said last in each of its rows, and what the joiner makes of it."""

    def __init__(self, predictor: Predictor, joiner: Joiner, symbols: int, start: int) -> None:
        self._predictor, self._joiner = predictor, joiner
        self._symbols, self._start = symbols, start
        self._outputs = np.zeros((predictor.batch_size, 0), np.float32)
        self.advance(np.full(predictor.batch_size, start), np.ones(predictor.batch_size, bool))

    def advance(self, ids: NDArray[np.int64], active: NDArray[np.bool_]) -> None:
        """Let the predictor read `ids` [R] in the rows that are active; no call if none is."""
        if not active.any():
            return
        made = self._predictor.step(ids, active=active)
        self._check_output(made)
        _check_finite("the predictor", made, active)
        if not self._outputs.size:
            self._outputs = np.zeros(made.shape, np.float32)
        self._outputs[active] = made[active]

    def _check_output(self, made: object) -> None:
        rows, features = self._outputs.shape
        shape: tuple[int, ...] = ()
        if isinstance(made, np.ndarray) and made.dtype.kind == "f":
            shape = made.shape
        if len(shape) != 2 or shape[0] != rows or features not in (0, shape[1]):
            raise InputError(
                f"the predictor should give one output, float32 [{rows}, "
                f"{features or 'features'}], got {_described(made)}; take a stream of a model "
                "that has this one"
            )

    def select(self, rows: NDArray[np.int64]) -> None:
        """Let row i go on as row `rows[i]` was; no call if all stay."""
        if not np.array_equal(rows, np.arange(len(rows))):
            self._predictor.select(rows)
            self._outputs = self._outputs[rows]

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Take rows to where they have read the start symbol only."""
        if len(rows):
            self._predictor.reset(rows)
            active = np.zeros(self._predictor.batch_size, bool)
            active[rows] = True
            self.advance(np.full(len(active), self._start), active)

    def saved(self) -> tuple[NDArray[np.float32], Snapshot]:
        """What it said last, float32 [R, P], and what it carries. Raises StateError."""
        return self._outputs, self._saving().snapshot()

    def restore(self, outputs: NDArray[Any], snapshot: Snapshot | None) -> None:
        """Go on from what `saved` gave. Raises StateError, and stays as it was."""
        ours = self._outputs
        if outputs.dtype != ours.dtype or outputs.shape != ours.shape or snapshot is None:
            raise StateError(
                f"the snapshot should have outputs of the predictor, float32 {list(ours.shape)}, "
                f"and its state, got {_described(outputs)}; take a snapshot of a decoder of this "
                "model"
            )
        _check_finite("the predictor", outputs, np.ones(len(outputs), bool))
        self._saving().restore(snapshot)
        self._outputs = outputs.copy()

    def _saving(self) -> SavedPredictor:
        if not isinstance(self._predictor, SavedPredictor):
            raise StateError(
                f"a {type(self._predictor).__name__} as the predictor cannot be saved: it has no "
                "snapshot() and restore(), as a Stream has"
            )
        return self._predictor

    def join(self, frame: NDArray[np.float32], active: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Log-probabilities [R, V] of the next symbols, given `frame` [R, E].

        Only those of the rows `active` [R] are checked; the others are not to be looked at.
        """
        # Copies, as the same frame and outputs are joined again.
        logits = self._joiner(frame.copy(), self._outputs.copy())
        expected = (len(frame), self._symbols)
        if getattr(logits, "shape", None) != expected or logits.dtype.kind != "f":
            raise InputError(
                f"the joiner should give float32 {list(expected)}, got {_described(logits)}; its "
                "last axis is the symbols, the blank included"
            )
        _check_finite("the joiner", logits, active)
        logits = np.where(active[:, None], logits, 0)
        return log_softmax(np.ascontiguousarray(logits, np.float32))


def _described(made: object) -> str:
    if isinstance(made, np.ndarray):
        return f"{made.dtype} {list(made.shape)}"
    return type(made).__name__


def _check_finite(who: str, array: NDArray[Any], active: NDArray[np.bool_]) -> None:
    wrong = active & ~np.isfinite(array).all(axis=-1)
    if wrong.any():
        raise StateError(
            f"expected finite numbers of {who}, got NaN or infinity in its row "
            f"{int(wrong.argmax())}: the state or the weights are damaged; reset the row"
        )
