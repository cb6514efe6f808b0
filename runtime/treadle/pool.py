"""Pool: many streams of one model, of which those that have input step in one engine call."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from treadle.arrays import check_count
from treadle.closing import Closing
from treadle.combining import Combiner, Ticket
from treadle.errors import DeadlineError, DeviceError, InputError, StateError, TreadleError
from treadle.nonfinite import check_on_nonfinite
from treadle.repriming import going_on_from
from treadle.session import engine_errors
from treadle.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from treadle.arrays import Array
    from treadle.model import Model
    from treadle.nonfinite import OnNonfinite
    from treadle.state import Snapshot

Entry = tuple[int, "Array"]  # a slot, and what it reads

_REMEMBERED = 10_000
"""Steps whose latency counts for the percentiles."""


@dataclass(frozen=True, slots=True)
class PoolMetrics:
    """What a pool has done. Latencies are of the last 10,000 steps, from call to answer.

    members: in the pool now. waiting: calls that wait for the one that runs. steps, calls: made so
    far, and engine calls they took. batch_mean, batch_max: steps a call. p50_us, p99_us: latency
    in microseconds, nan before the first step.
    """

    members: int
    waiting: int
    steps: int
    calls: int
    batch_mean: float
    batch_max: int
    p50_us: float
    p99_us: float


class Pool(Closing):
    """Up to `max_streams` members, each its own sequence. Made by `Model.pool`.

    From any number of threads and from asyncio: a call takes all steps that arrived while the one
    before it ran. A member that does not step is not touched. With `exact`, every row is computed
    alone: for precisions that do not promise that a row is the same in company.
    """

    def __init__(
        self,
        model: Model,
        max_streams: int,
        *,
        when_full: Literal["error", "wait"] = "error",
        exact: bool = False,
        on_nonfinite: OnNonfinite = "error",
    ) -> None:
        self.max_streams = check_count(max_streams, "max_streams", 1)
        if when_full not in ("error", "wait"):
            raise InputError(f'when_full must be "error" or "wait", got {when_full!r}')
        self._model = model
        self._waits = when_full == "wait"
        self._reading = model.reading("step")
        check_on_nonfinite(on_nonfinite, self._reading)
        self.on_nonfinite = on_nonfinite
        self._slots = Slots(model, self.max_streams, exact=exact, on_nonfinite=on_nonfinite)
        self._free = list(range(self.max_streams))[::-1]
        self._members: dict[int, Member] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._combiner: Combiner[Entry] = Combiner(self._work)
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._made = self._calls = self._largest = 0

    def join(
        self,
        snapshot: Snapshot | None = None,
        *,
        source: ArrayLike | None = None,
        reprime: bool = False,
        timeout: float | None = None,
    ) -> Member:
        """A new member: in the initial state, or going on from a snapshot of one row.

        `source` is what an encoder reads, ids int64 [source] or features [source, …]. With
        `reprime` the snapshot may be another model's, as in `Stream.restore`; its `complete` says
        whether it holds all that was read. A member keeps no inputs itself. A full pool
        raises StateError, or waits for a member to leave, at most `timeout` seconds, then raises
        DeadlineError. Raises InputError and StateError as `Model.stream` and `Stream.restore` do.
        """
        start = self._start(snapshot, None if source is None else [source], reprime)
        with self._changed:
            if not self._free and self._waits:
                self._changed.wait_for(lambda: self._free or self._closed, timeout)
            self._refuse_closed()
            if not self._free:
                raise self._full(timeout)
            member = Member(self, self._free.pop())
            self._members[member._slot] = member
        self._slots.put(member._slot, start)
        return member

    def step(self, inputs: Mapping[Member, ArrayLike]) -> dict[Member, Any]:
        """One time step of each member given: `x` [] or [features] -> outputs […].

        In one engine call, where their sources are about as long. A member whose step fails has
        its error as its answer, and its state as it was; the others go on. Raises StateError for
        a member of another pool or one that has left, before anything is stepped.
        """
        for member in inputs:
            if member._pool is not self:
                raise StateError("a member of another pool cannot step in this one")
            member._check()
        answers: dict[Member, Any] = {}
        ready: dict[Member, Array] = {}
        for member, x in inputs.items():
            try:
                ready[member] = self._read(x)
                member._begin()
            except TreadleError as error:
                ready.pop(member, None)
                answers[member] = error
        try:
            stepping = [member for member, x in ready.items() if self._fits(x)]
            asked = [(member._slot, ready[member]) for member in stepping]
            made = self._combiner.ask(asked) if asked else []
            answers |= zip(stepping, made, strict=True)
            answers |= {member: member._aside() for member in ready if member not in answers}
        finally:
            for member in ready:
                member._end()
        return {member: answers[member] for member in inputs}

    def metrics(self) -> PoolMetrics:
        """What the pool has done so far."""
        latencies = list(self._latencies) or [float("nan")]
        p50, p99 = (float(q) for q in np.percentile(latencies, (50, 99)) * 1e6)
        return PoolMetrics(
            members=len(self._members),
            waiting=self._combiner.waiting,
            steps=self._made,
            calls=self._calls,
            batch_mean=self._made / max(self._calls, 1),
            batch_max=self._largest,
            p50_us=p50,
            p99_us=p99,
        )

    def close(self) -> None:
        """Let all members go. A call that is running ends first; what waits gets StateError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._combiner.close()

    def _start(
        self, snapshot: Snapshot | None, source: list[ArrayLike] | None, reprime: bool
    ) -> Snapshot:
        if snapshot is None:
            if reprime:
                raise InputError("there is nothing to re-prime from; give a snapshot with inputs")
            return self._model._at_start(source)[0]
        if snapshot.batch_size != 1:
            raise StateError(
                f"a member is one row, but the snapshot has {snapshot.batch_size}; take it of a "
                "stream with batch_size=1 or of a member"
            )
        return going_on_from(self._model, snapshot, reprime=reprime, source=source)

    def _leave(self, member: Member) -> None:
        with self._changed:
            del self._members[member._slot]
            self._free.append(member._slot)
            self._changed.notify()

    def _read(self, x: ArrayLike) -> Array:
        array = self._reading.array(x)
        if self.on_nonfinite == "error":
            self._reading.check_values(array)
        return array

    def _fits(self, x: Array) -> bool:
        """Whether a member steps: not where its input is not finite, and that is no error."""
        return self.on_nonfinite == "error" or bool(np.isfinite(x).all())

    def _work(self, tickets: list[Ticket[Entry]]) -> None:
        """Step all that tickets ask for, each with its answer or its error."""
        entries = [(ticket, place) for ticket in tickets for place in range(len(ticket.asked))]
        slots = [ticket.asked[place][0] for ticket, place in entries]
        for places in self._slots.companies(slots):
            company = [entries[place] for place in places]
            if not self._attempt(company) and len(company) > 1:
                for entry in company:
                    self._attempt([entry])
        now = time.perf_counter()
        self._latencies.extend(now - ticket.began for ticket, _ in entries)

    def _attempt(self, company: list[tuple[Ticket[Entry], int]]) -> bool:
        """One engine call; False where it failed, with the error as every row's answer."""
        asked = [ticket.asked[place] for ticket, place in company]
        try:
            call = self._slots.call([slot for slot, _ in asked], [x for _, x in asked])
        except engine_errors() as error:
            failure = DeviceError(
                f"onnxruntime failed to run the model: {error}; the state is as it was"
            )
            for ticket, place in company:
                ticket.answers[place] = failure
            return False
        with self._combiner.lock:
            kept = [row for row, (ticket, _) in enumerate(company) if not ticket.withdrawn]
            for row in kept:
                company[row][0].kept = True
            call.keep(kept)
        for row in kept:
            ticket, place = company[row]
            ticket.answers[place] = call.outputs[row]
        self._calls += 1
        self._made += len(kept)
        self._largest = max(self._largest, len(company))
        return True

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StateError("this pool is closed; open another with Model.pool")

    def _full(self, timeout: float | None) -> TreadleError:
        taken = f"all {self.max_streams} places of the pool are taken"
        if self._waits:
            return DeadlineError(f"{taken}, and none was left within {timeout} s")
        return StateError(
            f'{taken}; let a member leave, or make the pool larger or with when_full="wait"'
        )


class Member(Closing):
    """One stream of a pool. Made by `Pool.join`; one thread or task at a time may step it."""

    __slots__ = ("_in_use", "_left", "_nonfinite", "_pool", "_slot")

    def __init__(self, pool: Pool, slot: int) -> None:
        self._pool, self._slot = pool, slot
        self._in_use = threading.Lock()
        self._left = False
        self._nonfinite = 0

    @property
    def nonfinite(self) -> int:
        """How many of its inputs were not finite since it joined; 0 where that is an error."""
        return self._nonfinite

    def step(self, x: ArrayLike, *, timeout: float | None = None) -> Any:
        """One time step: `x` [] or [features] -> outputs […]; blocks.

        Raises InputError as `Stream.step` does; DeadlineError when the step is not made within
        `timeout` seconds, StateError when the pool closes: the state is as it was then.
        """
        array = self._pool._read(x)
        self._begin()
        try:
            if not self._pool._fits(array):
                return self._aside()
            (answer,) = self._pool._combiner.ask([(self._slot, array)], timeout)
        finally:
            self._end()
        return _given(answer)

    async def astep(self, x: ArrayLike) -> Any:
        """As `step`, for asyncio. A task that is cancelled while it waits leaves the state be."""
        array = self._pool._read(x)
        self._begin()
        try:
            if not self._pool._fits(array):
                return self._aside()
            (answer,) = await self._pool._combiner.ask_async([(self._slot, array)])
        finally:
            self._end()
        return _given(answer)

    def snapshot(self) -> Snapshot:
        """All that is needed to go on from here, in a pool or a stream. Raises StateError."""
        self._begin()
        try:
            return self._pool._slots.snapshot(self._slot)
        finally:
            self._end()

    def leave(self) -> None:
        """Give the place back. Leaving twice is allowed. Raises StateError while it steps."""
        if self._left or self._pool._closed:
            return
        self._begin()
        self._left = True
        self._pool._leave(self)
        self._end()

    def close(self) -> None:
        """Leave."""
        self.leave()

    def _aside(self) -> Any:
        """The answer to an input that is not finite."""
        self._nonfinite += 1
        return self._pool._slots.set_aside(self._slot)

    def _check(self) -> None:
        if self._left:
            raise StateError("this member has left its pool; join it again with Pool.join")
        self._pool._refuse_closed()

    def _begin(self) -> None:
        """Take the member for one call."""
        if not self._in_use.acquire(False):
            raise StateError(
                "this member is in use by another call, which would mix their states; give each "
                "thread its own: Pool.join"
            )
        try:
            self._check()
        except StateError:
            self._in_use.release()
            raise

    def _end(self) -> None:
        self._in_use.release()


def _given(answer: Any) -> Any:
    if isinstance(answer, TreadleError):
        raise answer
    return answer
