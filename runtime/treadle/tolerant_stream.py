"""A stream that goes on where a row's input is not finite: the row holds, or starts anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import InputError
from treadle.history import History
from treadle.nonfinite import pieces, rows_not_finite
from treadle.sequence import Carried, read_spans
from treadle.stream import Stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.bound_step import BoundStep
    from treadle.model import Model
    from treadle.nonfinite import OnNonfinite
    from treadle.state import Snapshot


class TolerantStream(Stream):
    """As Stream, with `on_nonfinite` "hold" or "reset" (`treadle.nonfinite` says what they mean).

    A row that is wrong is one whose input at a step holds NaN or infinity, in a row that is active
    and within its length. It reads nothing then; the other rows do not notice.
    """

    def __init__(
        self,
        model: Model,
        start: Snapshot,
        *,
        on_nonfinite: OnNonfinite,
        history: int = 0,
        origins: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(model, start, history=history, origins=origins)
        self.on_nonfinite = on_nonfinite
        # Rows that started anew by themselves: their inputs may be of another life than a state
        # that the history gives back.
        self._restarted = np.zeros(self.batch_size, bool)

    def _fill(self, start: Snapshot, origins: NDArray[np.int64] | None = None) -> None:
        super()._fill(start, origins)
        if self._bound:
            self._last = [np.zeros_like(output) for output in self._bound.outputs]

    def step(self, x: ArrayLike, *, active: ArrayLike | None = None, copy: bool = True) -> Any:
        """As `Stream.step`; a row that is wrong does not step."""
        with self._turn() as bound:
            if active is not None or not self._step_all(bound, x):
                idle = np.zeros(self.batch_size, bool) if active is None else self._idle(active)
                array = self._reading.array(x, self.batch_size)
                wrong = rows_not_finite(array, 1) & ~idle
                self._step_rows(bound, array, idle | wrong)
                self._step_aside(bound, wrong, ~(idle | wrong))
            return bound.copied() if copy else bound.views

    def step_on_device(self, x: ArrayLike) -> Any:  # noqa: ARG002
        """Raises InputError: what a row gave last is kept, on the host."""
        raise InputError(
            f"a stream with on_nonfinite={self.on_nonfinite!r} needs its outputs on the host; call "
            "step, or open it without on_nonfinite"
        )

    def _step_all(self, bound: BoundStep, x: ArrayLike) -> bool:
        """The step of a stream that nothing is wrong with, or False, with all as it was."""
        try:
            bound.step(x)
        except InputError:  # also of another shape, which is said when it is looked at again
            return False
        if self._remembers:
            self._history.add(bound.next_state, self.steps)
            self._inputs.add(bound.x)
        self._ticks += 1
        for last, output in zip(self._last, bound.outputs, strict=True):
            last[...] = output
        return True

    def feed(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
        """As `Stream.feed`; what a row that is wrong at its last step gives there is its answer."""
        with self._turn() as bound:
            x, lengths, wrong = self._sorted_out(x, lengths)
            name = "prompt" if "prompt" in self._model.manifest.graphs else "sequence"
            self._read_around(bound, x, lengths, wrong, name, [])
            answers = [last.copy() for last in self._last]
            for answer in answers:
                answer[lengths == 0] = 0
        return bound.named(answers)

    def unroll(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
        """As `Stream.unroll`, with the answer of every step."""
        with self._turn() as bound:
            x, lengths, wrong = self._sorted_out(x, lengths)
            every = [np.zeros((*x.shape[:2], *o.shape[1:]), o.dtype) for o in bound.outputs]
            self._read_around(bound, x, lengths, wrong, "sequence", every)
        return bound.named(every)

    def _sorted_out(
        self, x: ArrayLike, lengths: ArrayLike | None
    ) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
        """`x` [batch, time, …] with 0 where it is not finite, lengths, and the rows wrong by step.

        Raises InputError.
        """
        array = self._reading.array(x, self.batch_size, "time")
        clean = np.where(np.isfinite(array), array, 0).astype(array.dtype)
        padded, counts = self._reading.padded(
            clean, lengths, "time", least=0, batch_size=self.batch_size
        )
        wrong = rows_not_finite(array, 2)
        wrong &= np.arange(array.shape[1]) < counts[:, None]
        return padded, counts, wrong

    def _read_around(
        self,
        bound: BoundStep,
        x: Array,
        lengths: NDArray[np.int64],
        wrong: NDArray[np.bool_],
        name: str,
        every: list[Array],
    ) -> None:
        """Read all columns through a graph, but those of rows that are wrong in them.

        Cut where a row is wrong: what lies between is read at once. Fills `every`, arrays [batch,
        time, …], if there are any. The stream moves on once all is read, so that a failure on the
        way leaves it as it was.
        """
        session, graph = self._model.session(name), self._model.manifest.graphs[name]
        carried = Carried(bound.state, self.steps, History(self._history.size))
        last = [array.copy() for array in self._last]
        for piece, aside in pieces(wrong, int(lengths.max())):
            count = np.clip(lengths - piece.start, 0, piece.stop - piece.start)
            count[aside] = 0
            if not count.any():  # a step of the stream all the same, which can be taken back
                carried.history.add(carried.state, carried.steps)
            else:
                for span, rows, outputs in read_spans(
                    session, graph, x[:, piece], count, carried, self._context
                ):
                    place = slice(piece.start + span.start, piece.start + span.stop)
                    ends = np.minimum(count[rows], span.stop) - span.start - 1
                    for number, output in enumerate(outputs):
                        ended = output if name == "prompt" else output[np.arange(len(rows)), ends]
                        last[number][rows] = ended
                        if every:
                            every[number][rows, place] = output
            if aside.any():
                self._set_aside(aside, carried, last)
                for number, all_steps in enumerate(every):
                    all_steps[aside, piece.start] = last[number][aside]
        self._move_on(bound, carried)
        self._last = last
        self._nonfinite += wrong.sum(axis=1)
        if self._remembers:
            self._history.extend(carried.history)
            self._keep_around(x, lengths, wrong)

    def _keep_around(self, x: Array, lengths: NDArray[np.int64], wrong: NDArray[np.bool_]) -> None:
        """Keep the inputs that were read, piece by piece as `_read_around` read them."""
        for piece, aside in pieces(wrong, int(lengths.max())):
            count = np.clip(lengths - piece.start, 0, piece.stop - piece.start)
            count[aside] = 0
            self._inputs.extend(x[:, piece], count)
            self._forget_life(aside)

    def _forget_life(self, wrong: NDArray[np.bool_]) -> None:
        """With "reset", forget the inputs of rows that start anew."""
        if self._remembers and self.on_nonfinite == "reset":
            self._inputs.forget(np.flatnonzero(wrong))
            self._restarted |= wrong

    def _take_back_inputs(self, steps: NDArray[np.int64]) -> None:
        self._inputs.forget(np.flatnonzero(self._restarted))
        super()._take_back_inputs(np.where(self._restarted, self.steps, steps))

    def _take_over(self, other: Stream) -> None:
        super()._take_over(other)
        if isinstance(other, TolerantStream):
            self._last = [last.copy() for last in other._last]
            self._restarted = other._restarted.copy()

    def _step_aside(
        self, bound: BoundStep, wrong: NDArray[np.bool_], read: NDArray[np.bool_]
    ) -> None:
        """Let rows that are wrong hold or start anew after a step that others read."""
        for last, output in zip(self._last, bound.outputs, strict=True):
            last[read] = output[read]
        carried = Carried(bound.state, self.steps, self._history)
        self._set_aside(wrong, carried, self._last)
        self._move_on(bound, carried)
        for last, output in zip(self._last, bound.outputs, strict=True):
            output[wrong] = last[wrong]
        self._nonfinite += wrong
        self._forget_life(wrong)

    def _set_aside(self, wrong: NDArray[np.bool_], carried: Carried, last: list[Array]) -> None:
        """With "reset", take these rows of what is carried back to their start."""
        if self.on_nonfinite == "hold":
            return
        initial = self._model.initial_state(self._context, self.batch_size)
        # Copies: these may be the stream's own buffers, and the history keeps the steps.
        carried.state = {name: array.copy() for name, array in carried.state.items()}
        for name, array in carried.state.items():
            array[wrong] = initial[name][wrong]
        carried.steps = np.where(wrong, 0, carried.steps)
        for array in last:
            array[wrong] = 0
