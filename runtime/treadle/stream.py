"""Stream: a model run one step at a time, its state carried, named and never shared."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from treadle.arrays import check_count, check_rows
from treadle.bound_step import BoundStep
from treadle.closing import Closing
from treadle.errors import DeviceError, InputError, StateError
from treadle.frames import Framer
from treadle.history import History
from treadle.plain_step import PlainStep
from treadle.sequence import Carried, read_spans
from treadle.session import engine_errors
from treadle.state import Snapshot, check_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.model import Model
    from treadle.nonfinite import OnNonfinite


class Stream(Closing):
    """`batch_size` rows, each its own sequence, read step by step. Made by `Model.stream`.

    Outputs are arrays, or a NamedTuple of arrays for a model with several. What a stream hands
    out is never overwritten (but for `copy=False`), and its state cannot be reached to be written.
    One thread at a time may use a stream; a second one gets StateError. After `close`, all but
    `close` raise StateError. An InputError leaves the state as it was.

    on_nonfinite: what becomes of a row whose input is not finite, as `Model.stream` has it.
    """

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
        in_use = threading.Lock()
        # Looked up once: a step is made of few such calls.
        self._take, self._give = in_use.acquire, in_use.release
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
        kind = PlainStep if self._model.call == "plain" else BoundStep
        self._bound: BoundStep | None = kind(
            self._model.session("step"),
            self._graph,
            self._reading,
            self.batch_size,
            start.state,
            self._context,
        )
        self._context |= self._bound.context
        self._steps, self._ticks = start.steps.copy(), 0
        self._history.clear()

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
        if not self._take(False):
            raise _in_use_elsewhere()
        try:
            bound = self._bound or _refuse_closed()
            bound.step(x)
            if self._remembers:
                self._history.add(bound.next_state, self.steps)
            self._ticks += 1
            return bound.copied() if copy else bound.views
        except engine_errors() as error:
            raise _failed(error) from error
        finally:
            self._give()

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

        What was encoded stays. Forgets the history. Raises InputError for rows not there.
        """
        with self._turn() as bound:
            chosen = np.arange(self.batch_size)
            if rows is not None:
                chosen = check_rows(rows, self.batch_size)
            initial = self._model.initial_state(self._context, self.batch_size)
            for name, array in bound.state.items():
                array[chosen] = initial[name][chosen]
            self._steps, self._ticks = self.steps, 0
            self._steps[chosen] = 0
            for last in self._last:
                last[chosen] = 0
            self._history.clear()

    def select(self, rows: ArrayLike) -> None:
        """Let row i go on as row `rows[i]` was: state, context and steps, as beam search needs it.

        `rows` has one index for each row. Forgets the history. Raises InputError.
        """
        with self._turn() as bound:
            chosen = check_rows(rows, self.batch_size)
            if len(chosen) != self.batch_size:
                raise InputError(
                    f"select needs one index for each of {self.batch_size} rows, got {len(chosen)}"
                )
            for array in bound.state.values():
                array[:] = array[chosen]
            # Context is large, and the rows of one beam share theirs: nothing to move then.
            moved = np.flatnonzero(self._origins[chosen] != self._origins)
            if len(moved):
                for array in self._context.values():
                    array[moved] = array[chosen[moved]]
            self._origins = self._origins[chosen]
            self._steps, self._ticks = self.steps[chosen], 0
            for last in self._last:
                last[:] = last[chosen]
            self._history.clear()

    def rewind(self, steps: int) -> None:
        """Take back the last `steps` time steps that all rows together read.

        A row that read nothing in them, as it was shorter, stays as it is. Raises StateError when
        the history, which `Model.stream(history=…)` asks for, does not reach back so far.
        """
        with self._turn() as bound:
            if count := check_count(steps, "steps", 0):
                state, self._steps = self._history.back(count)
                self._ticks = 0
                _write(bound.state, state)
                for last in self._last:
                    last[:] = 0

    def state(self) -> dict[str, Array]:
        """Copies of the state: name -> [batch, …]."""
        with self._turn() as bound:
            return {name: array.copy() for name, array in bound.state.items()}

    def snapshot(self) -> Snapshot:
        """All that is needed to go on from here, in this process or another."""
        with self._turn() as bound:
            digest = self._model.manifest.digest
            return Snapshot(digest, bound.state, self._context, self.steps)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from `snapshot`, its context included. Forgets the history.

        Raises StateError for a snapshot of another model, of another batch size, of other names,
        dtypes or shapes, or with a value that is not finite.
        """
        with self._turn():
            check_snapshot(snapshot, self._model.manifest)
            if snapshot.batch_size != self.batch_size:
                raise StateError(
                    f"the snapshot has {snapshot.batch_size} rows, but this stream has "
                    f"{self.batch_size}; open one for it with Model.resume(snapshot)"
                )
            self._fill(snapshot)

    def fork(self) -> Stream:
        """A stream that goes on from here on its own, with the same history."""
        snapshot = self.snapshot()
        with self._turn():
            forked = self._model._open(
                snapshot, self._history.size, self._origins, self.on_nonfinite
            )
            forked._history.extend(self._history)
            forked._last = [last.copy() for last in self._last]
            return forked

    def close(self, *, wait: bool = False) -> None:
        """Let go of the buffers. Closing twice is allowed.

        A call that another thread is making raises StateError, or is waited for.
        """
        if not self._take(wait):
            raise _in_use_elsewhere()
        self._bound = None
        self._give()

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
        bound.step(x)
        if self._history.size:
            self._history.add(bound.next_state, self.steps)
        bound.take_back(idle)
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
        if not self._take(False):
            raise _in_use_elsewhere()
        try:
            yield self._bound or _refuse_closed()
        except engine_errors() as error:
            raise _failed(error) from error
        finally:
            self._give()

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
        self._history.extend(carried.history)

    def _move_on(self, bound: BoundStep, carried: Carried) -> None:
        _write(bound.state, carried.state)
        self._steps, self._ticks = carried.steps, 0


def _write(buffers: dict[str, Array], state: Mapping[str, Array]) -> None:
    for name, buffer in buffers.items():
        buffer[...] = state[name]


def _in_use_elsewhere() -> StateError:
    return StateError(
        "this stream is in use by another call, which would mix their states; give each thread "
        "its own: Model.stream or Stream.fork"
    )


def _refuse_closed() -> NoReturn:
    raise StateError("this stream is closed; open another with Model.stream")


def _failed(error: Exception) -> DeviceError:
    return DeviceError(f"onnxruntime failed to run the model: {error}; the state is as it was")
