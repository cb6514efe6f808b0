"""Stream: a model run one step at a time, its state carried, named and never shared."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from treadle.arrays import check_count, check_rows
from treadle.closing import Closing
from treadle.errors import DeviceError, InputError, StateError
from treadle.history import History
from treadle.sequence import Carried, read_spans
from treadle.session import engine_errors
from treadle.state import Snapshot
from treadle.step_kind import step_kind
from treadle.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.bound_step import BoundStep
    from treadle.model import Model
    from treadle.nonfinite import OnNonfinite


class Stream(Closing):
    """`batch_size` rows, each its own sequence, read step by step. Made by `Model.stream`.

    Outputs are arrays, or a NamedTuple of arrays for a model with several. What a stream hands
    out is never overwritten (but for `copy=False`), and its state cannot be reached to be written.
    One thread at a time may use a stream; a second one gets StateError. After `close`, all but
    `close` raise StateError. An InputError leaves the state as it was.

    reprimed: None, or after going on from a snapshot of another model, bool [batch]: whether each
    row, as the rows were then, had kept all that it had read; False where only the last was read.
    on_nonfinite: what becomes of a row whose input is not finite, as `Model.stream` has it.
    """

    reprimed: NDArray[np.bool_] | None = None
    on_nonfinite: OnNonfinite = "error"

    def __init__(
        self,
        model: Model,
        start: Snapshot,
        *,
        history: int = 0,
        origins: NDArray[np.int64] | None = None,
    ) -> None:
        self.batch_size = start.batch_size
        self._model = model
        self._graph = model.manifest.graphs["step"]
        self._reading = model.reading("step")
        turn = Turn()
        # Looked up once: a step is made of few such calls.
        self._take, self._wait, self._give = turn.take, turn.wait, turn.give
        self._history = History(history)
        self._remembers = self._history.size > 0
        self._nonfinite = np.zeros(self.batch_size, np.int64)
        # What each row gave when it read last, one array an output; where it may be repeated only.
        self._last: list[Array] = []
        self._fill(start, origins)

    def _fill(self, start: Snapshot, origins: NDArray[np.int64] | None = None) -> None:
        """Take over all that `start` holds. Rows of one origin have the same context."""
        self._context = {name: array.copy() for name, array in start.context.items()}
        self._origins = np.arange(self.batch_size) if origins is None else origins.copy()
        model = self._model
        kind = step_kind(model.call, on_device=model.on_device, captured=model.captured)
        self._bound: BoundStep | None = kind(
            model.session("step"),
            self._graph,
            self._reading,
            self.batch_size,
            start.state,
            self._context,
        )
        self._context |= self._bound.context
        self._steps, self._ticks = start.steps.copy(), 0
        self._history.clear()
        if self._remembers:
            from treadle.kept_inputs import InputHistory

            self._inputs = InputHistory(self._history.size, self.batch_size, start.inputs)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps made by each row since its start or reset, int64 [batch]."""
        return self._steps + self._ticks

    @property
    def nonfinite(self) -> NDArray[np.int64]:
        """At how many steps the input of each row was not finite, int64 [batch].

        Since the stream was opened: nothing takes it back. 0 where that is an error.
        """
        return self._nonfinite.copy()

    def step(self, x: ArrayLike, *, active: ArrayLike | None = None, copy: bool = True) -> Any:
        """One time step: `x` [batch] or [batch, features] -> outputs [batch, …].

        `active`, bool [batch], says which rows read; the others keep their state, what `x` holds
        for them is not looked at, and their outputs are 0. With `copy=False` the outputs are
        read-only views that the next step overwrites. Raises InputError for another dtype, shape,
        an id out of range or a number that is not finite.
        """
        if active is not None:
            return self._step_some(x, active, copy=copy)
        try:
            self._take()
        except IndexError:
            raise _in_use_elsewhere() from None
        try:
            bound = self._bound or _refuse_closed()
            bound.step(x)
            if self._remembers:
                self._history.add(bound.next_state, self.steps)
                self._inputs.add(bound.x)
            self._ticks += 1
            return bound.copied() if copy else bound.views
        except engine_errors() as error:
            raise _failed(error) from error
        finally:
            self._give(None)

    def step_on_device(self, x: ArrayLike) -> Any:
        """As `step` of all rows, but outputs stay where the model runs: `onnxruntime.OrtValue`s.

        They are the stream's own memory: the next call overwrites them, and so may another stream
        once this one is closed. `value.numpy()` brings one down; with an onnxruntime that speaks
        DLPack, `torch.from_dlpack(value)` goes on with it without a copy. Raises DeviceError where
        the model runs on the processor, InputError as `step` does and for a stream that looks at
        outputs itself (`on_nonfinite`).
        """
        with self._turn() as bound:
            left = bound.step_there(x)
            if self._remembers:
                self._history.add(bound.next_state, self.steps)
                self._inputs.add(bound.x)
            self._ticks += 1
            return bound.named(left)

    def feed(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
        """Read `x` [batch, time, …] -> outputs [batch, …] at each row's last valid step.

        Through the graph `prompt`, which has the head at that step only, where the bundle has it.
        `lengths`, int64 [batch], default to the whole time axis; what lies beyond is not looked
        at. A row of length 0 is left out: it keeps its state, and its outputs are 0. Raises
        InputError as `step` does.
        """
        with self._turn() as bound:
            x, lengths = self._reading.padded(
                x, lengths, "time", least=0, batch_size=self.batch_size
            )
            last = [np.zeros_like(output) for output in bound.outputs]
            prompts = "prompt" in self._model.manifest.graphs
            for span, rows, outputs in self._read(
                bound, x, lengths, "prompt" if prompts else "sequence"
            ):
                ends = lengths[rows] - span.start - 1
                here = ends < span.stop - span.start
                for all_last, output in zip(last, outputs, strict=True):
                    all_last[rows[here]] = output[here] if prompts else output[here, ends[here]]
        return bound.named(last)

    def unroll(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
        """Read `x` [batch, time, …] -> outputs [batch, time, …], zero where padded.

        As `feed`, but with the outputs of every step.
        """
        with self._turn() as bound:
            x, lengths = self._reading.padded(
                x, lengths, "time", least=0, batch_size=self.batch_size
            )
            every = [np.zeros((*x.shape[:2], *o.shape[1:]), o.dtype) for o in bound.outputs]
            for span, rows, outputs in self._read(bound, x, lengths):
                for all_steps, output in zip(every, outputs, strict=True):
                    all_steps[rows, span] = output
        return bound.named(every)

    def listen(self, chunks: Iterable[ArrayLike], *, hop: int | None = None) -> Iterator[Any]:
        """The outputs of each frame, as soon as its samples have come.

        `chunks` are float32 [n] of any size, as from a microphone; a frame is as many samples as
        the model reads at a step, `hop` of them after the one before (default: all). Samples
        that do not fill a frame at the end are left out. For a stream of one row; raises
        InputError.
        """
        from treadle.frames import Framer

        if self._reading.dtype != np.float32 or len(self._reading.features) != 1:
            raise InputError(f"{self._model.manifest.name} reads no frames of samples; call step")
        if self.batch_size != 1:
            raise InputError(f"listen needs a stream of one row, got {self.batch_size}")
        framer = Framer(self._reading.features[0], hop)
        for chunk in chunks:
            for frame in framer.push(chunk):
                yield self.step(frame[None])

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Take rows (all, or a list of indices) back to their initial state and to 0 steps.

        What was encoded stays. Forgets the history, and what these rows read. Raises InputError for
        rows not there.
        """
        with self._turn() as bound:
            chosen = np.arange(self.batch_size)
            if rows is not None:
                chosen = check_rows(rows, self.batch_size)
            initial = self._model.initial_state(self._context, self.batch_size)
            state = bound.state
            for name, array in state.items():
                array[chosen] = initial[name][chosen]
            bound.write(state)
            self._steps, self._ticks = self.steps, 0
            self._steps[chosen] = 0
            for last in self._last:
                last[chosen] = 0
            self._history.clear()
            if self._remembers:
                self._inputs.forget(chosen)

    def select(self, rows: ArrayLike) -> None:
        """Let row i go on as row `rows[i]` was: state, context and steps, as beam search needs it.

        `rows` has one index for each row. Forgets the history; what a row read moves with it.
        Raises InputError.
        """
        with self._turn() as bound:
            chosen = check_rows(rows, self.batch_size)
            if len(chosen) != self.batch_size:
                raise InputError(
                    f"select needs one index for each of {self.batch_size} rows, got {len(chosen)}"
                )
            bound.write(bound.state, chosen)
            # Context is large, and the rows of one beam share theirs: nothing to move then.
            moved = np.flatnonzero(self._origins[chosen] != self._origins)
            if len(moved):
                for array in self._context.values():
                    array[moved] = array[chosen[moved]]
                bound.renew_context()
            self._origins = self._origins[chosen]
            self._steps, self._ticks = self.steps[chosen], 0
            for last in self._last:
                last[:] = last[chosen]
            self._history.clear()
            if self._remembers:
                self._inputs.select(chosen)

    def rewind(self, steps: int) -> None:
        """Take back the last `steps` time steps that all rows together read.

        A row that read nothing in them, as it was shorter, stays as it is. Raises StateError when
        the history, which `Model.stream(history=…)` asks for, does not reach back so far.
        """
        with self._turn() as bound:
            if count := check_count(steps, "steps", 0):
                state, earlier = self._history.back(count)
                self._take_back_inputs(earlier)
                self._steps, self._ticks = earlier, 0
                bound.write(state)
                for last in self._last:
                    last[:] = 0

    def state(self) -> dict[str, Array]:
        """Copies of the state: name -> [batch, …]."""
        with self._turn() as bound:
            return {name: array.copy() for name, array in bound.state.items()}

    def snapshot(self, *, inputs: bool = False) -> Snapshot:
        """All that is needed to go on from here, in this process or another.

        With `inputs` it holds the last inputs of each row too, as many as the history, so that
        another model can go on from it. Raises StateError where the stream keeps none.
        """
        with self._turn() as bound:
            return self._snapshot(bound, inputs)

    def restore(
        self,
        snapshot: Snapshot,
        *,
        reprime: bool = False,
        source: ArrayLike | Sequence[ArrayLike] | None = None,
        source_lengths: ArrayLike | None = None,
    ) -> None:
        """Go on from `snapshot`, its context and inputs included. Forgets the history.

        With `reprime` the snapshot may be another model's, taken with its inputs: this model reads
        them from its initial state, and `reprimed` says for which rows they were all. Steps go on
        counting. Where the model has an encoder, `source` and `source_lengths` are what the rows
        began with, as `Model.stream` takes them.

        Raises StateError for a snapshot of another batch size, of other names, dtypes or shapes, or
        with a value that is not finite; for one of another model, unless it may be re-primed: then
        for one without inputs, or with inputs that this model does not read. Raises InputError for
        a source that is missing or does not fit. The state is as it was then.
        """
        with self._turn():
            if snapshot.batch_size != self.batch_size:
                raise StateError(
                    f"the snapshot has {snapshot.batch_size} rows, but this stream has "
                    f"{self.batch_size}; open one for it with Model.resume(snapshot)"
                )
            from treadle.repriming import going_on_from

            start = going_on_from(
                self._model,
                snapshot,
                reprime=reprime,
                source=source,
                source_lengths=source_lengths,
            )
            self._fill(start)
            self.reprimed = None if start is snapshot else snapshot.complete

    def fork(self) -> Stream:
        """A stream that goes on from here on its own, with the same history."""
        with self._turn() as bound:
            start = self._snapshot(bound, inputs=False)
            forked = self._model._open(start, self._history.size, self._origins, self.on_nonfinite)
            forked._take_over(self)
            return forked

    def close(self, *, wait: bool = False) -> None:
        """Let go of the buffers. Closing twice is allowed.

        A call that another thread is making raises StateError, or is waited for.
        """
        try:
            self._wait() if wait else self._take()
        except IndexError:
            raise _in_use_elsewhere() from None
        self._bound = None
        self._give(None)

    def _snapshot(self, bound: BoundStep, inputs: bool) -> Snapshot:
        if inputs and not self._remembers:
            raise StateError(
                "this stream keeps no inputs; open it with Model.stream(history=N) for the last N"
            )
        kept = None
        if inputs:
            x, lengths = self._reading.stacked(self._inputs.rows())
            from treadle.kept_inputs import KeptInputs

            kept = KeptInputs(x, lengths, self._model.vocabulary_digest)
        digest = self._model.manifest.digest
        return Snapshot(digest, bound.state, self._context, self.steps, kept)

    def _step_some(self, x: ArrayLike, active: ArrayLike, *, copy: bool) -> Any:
        """The step of the active rows."""
        with self._turn() as bound:
            idle = self._idle(active)
            self._step_rows(bound, self._reading.array(x, self.batch_size), idle)
            return bound.copied() if copy else bound.views

    def _step_rows(self, bound: BoundStep, x: Array, idle: NDArray[np.bool_]) -> None:
        """The step of the rows that are not idle; the others stay, and their outputs are 0."""
        x = x.copy()
        x[idle] = 0
        bound.step_some(x, idle)
        if self._remembers:
            self._history.add(bound.next_state, self.steps)
            self._inputs.add(x[~idle], np.flatnonzero(~idle))
        self._steps = self._steps + ~idle

    def _idle(self, active: ArrayLike) -> NDArray[np.bool_]:
        """Which rows are not active. Raises InputError."""
        given = np.asarray(active)
        if given.dtype != np.bool_ or given.shape != (self.batch_size,):
            raise InputError(
                f"active should be bool [{self.batch_size}], one for each row, got {given.dtype} "
                f"{list(given.shape)}"
            )
        return ~given

    @contextmanager
    def _turn(self) -> Iterator[BoundStep]:
        """Hold the stream for one call."""
        try:
            self._take()
        except IndexError:
            raise _in_use_elsewhere() from None
        try:
            yield self._bound or _refuse_closed()
        except engine_errors() as error:
            raise _failed(error) from error
        finally:
            self._give(None)

    def _read(
        self, bound: BoundStep, x: Array, lengths: NDArray[np.int64], name: str = "sequence"
    ) -> Iterator[tuple[slice, NDArray[np.int64], list[Array]]]:
        """Read all columns through a graph, span by span: the span, the rows that read, outputs.

        The stream moves on once all is read, so that a failure on the way leaves it as it was.
        """
        session, graph = self._model.session(name), self._model.manifest.graphs[name]
        carried = Carried(bound.state, self.steps, History(self._history.size))
        yield from read_spans(session, graph, x, lengths, carried, self._context)
        self._move_on(bound, carried)
        if self._remembers:
            self._history.extend(carried.history)
            self._inputs.extend(x, lengths)

    def _move_on(self, bound: BoundStep, carried: Carried) -> None:
        bound.write(carried.state)
        self._steps, self._ticks = carried.steps, 0

    def _take_back_inputs(self, steps: NDArray[np.int64]) -> None:
        """Forget the inputs that rows read since they had made as many steps, int64 [batch]."""
        self._inputs.take_back(self.steps - steps)

    def _take_over(self, other: Stream) -> None:
        """Take from the stream that this one is a fork of what a snapshot does not hold."""
        if self._remembers:
            self._history.extend(other._history)
            self._inputs = other._inputs.copy()
        self.reprimed = other.reprimed


def _in_use_elsewhere() -> StateError:
    return StateError(
        "this stream is in use by another call, which would mix their states; give each thread "
        "its own: Model.stream or Stream.fork"
    )


def _refuse_closed() -> NoReturn:
    raise StateError("this stream is closed; open another with Model.stream")


def _failed(error: Exception) -> DeviceError:
    return DeviceError(f"onnxruntime failed to run the model: {error}; the state is as it was")
