"""Calls of many threads and tasks as few calls of one: who finds nobody at work works for all.

Hendler, Incze, Shavit & Tzafrir, "Flat combining and the synchronization-parallelism tradeoff",
2010. Nothing waits for company: a turn of work takes what has arrived while the last one ran. There
is no thread that could die, or would have to be stopped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from treadle.errors import DeadlineError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
INTERRUPTED = "the call that this step was part of was interrupted; the state is as it was"


class Ticket(Generic[T]):
    """What one caller asks for, from the moment it is queued until it is answered.

    asked: entries for the work; answers: one for each, filled by it. withdrawn: the caller has
    gone, so that nothing may be kept of what is done for it; kept: something was, so that the
    caller has to stay. began: `time.perf_counter`, in seconds.
    """

    __slots__ = ("answers", "appointed", "asked", "began", "done", "kept", "wake", "withdrawn")

    def __init__(self, asked: list[T], wake: Callable[[], object]) -> None:
        self.asked = asked
        self.answers: list[Any] = [StateError(INTERRUPTED)] * len(asked)
        self.wake = wake
        self.began = time.perf_counter()
        self.appointed = self.done = self.kept = self.withdrawn = False


class Combiner(Generic[T]):
    """Runs `work` over all tickets that wait, in one thread at a time, in the order they came.

    work: fills the answers of the tickets it is given; what it raises, the leading caller gets.
    lock: guards the queue, and `withdrawn` and `kept` of tickets, which `work` reads and writes.
    """

    def __init__(self, work: Callable[[list[Ticket[T]]], None]) -> None:
        self._work = work
        self._waiting: deque[Ticket[T]] = deque()
        self._busy = self._closed = False
        self.lock = threading.Lock()
        self._idle = threading.Condition(self.lock)

    @property
    def waiting(self) -> int:
        """Tickets that no turn has taken yet."""
        return len(self._waiting)

    def ask(self, asked: list[T], timeout: float | None = None) -> list[Any]:
        """Answers to `asked`, from this thread or another. Blocks.

        Raises DeadlineError after `timeout` seconds and StateError once closed; nothing is kept
        then.
        """
        event = threading.Event()
        ticket = Ticket(asked, event.set)
        try:
            leads = self._enter(ticket)
            while not ticket.done:
                if leads:
                    self._lead()
                elif event.wait(_left(ticket, timeout)):
                    event.clear()
                elif self._withdraw(ticket):
                    raise DeadlineError(
                        f"expected a step within {timeout} s, but others took longer; the state "
                        "is as it was"
                    )
                else:
                    timeout = None  # it is kept already, and answered in a moment
                leads = self._accepts(ticket)
        except BaseException:
            self._withdraw(ticket)
            raise
        return ticket.answers

    async def ask_async(self, asked: list[T]) -> list[Any]:
        """As `ask`, for asyncio: the work runs in the event loop's executor.

        A task that is cancelled keeps nothing.
        """
        import asyncio  # here: it takes longer to import than the rest of a model's modules

        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def woken() -> None:
            if self._accepts(ticket):
                loop.run_in_executor(None, self._lead)
            elif ticket.done and not answered.done():
                answered.set_result(None)

        ticket = Ticket(asked, lambda: loop.call_soon_threadsafe(woken))
        if self._enter(ticket):
            loop.run_in_executor(None, self._lead)
        try:
            await answered
        except BaseException:
            self._withdraw(ticket)
            raise
        return ticket.answers

    def close(self) -> None:
        """Refuse all that waits and all that comes; a turn that is running ends first."""
        with self.lock:
            self._closed = True
            refused = list(self._waiting)
            self._waiting.clear()
            # One that was appointed and has not begun yet may be a task of this very thread.
            if any(ticket.appointed for ticket in refused):
                self._busy = False
            for ticket in refused:
                ticket.appointed, ticket.done = False, True
                ticket.answers = [_closed()] * len(ticket.asked)
        for ticket in refused:
            _wake(ticket)
        with self.lock:
            self._idle.wait_for(lambda: not self._busy)

    def _enter(self, ticket: Ticket[T]) -> bool:
        """Queue a ticket; True where its caller must lead."""
        with self.lock:
            if self._closed:
                raise _closed()
            self._waiting.append(ticket)
            leads, self._busy = not self._busy, True
            return leads

    def _accepts(self, ticket: Ticket[T]) -> bool:
        """Whether the ticket's caller was appointed to lead, and now does."""
        with self.lock:
            accepted, ticket.appointed = ticket.appointed, False
            return accepted

    def _lead(self) -> None:
        """Work for all that wait, then let the first of those that came meanwhile lead."""
        with self.lock:
            taken = list(self._waiting)
            self._waiting.clear()
        try:
            if taken:
                self._work(taken)
        finally:
            with self.lock:
                for ticket in taken:
                    ticket.done = True
                heir = self._next()
            for ticket in taken:
                _wake(ticket)
            self._appoint(heir)

    def _next(self) -> Ticket[T] | None:
        """The ticket that leads the next turn, appointed; the lock is held."""
        heir = self._waiting[0] if self._waiting else None
        if heir is None:
            self._busy = False
            self._idle.notify_all()
        else:
            heir.appointed = True
        return heir

    def _appoint(self, heir: Ticket[T] | None) -> None:
        """Wake the one that leads next; another, where its event loop is closed."""
        while heir is not None and not _wake(heir):
            with self.lock:
                heir = self._forget(heir)

    def _withdraw(self, ticket: Ticket[T]) -> bool:
        """See to it that nothing is kept for a ticket; False where it is too late."""
        with self.lock:
            if ticket.kept:
                return False
            ticket.withdrawn = True
            heir = self._forget(ticket)
        self._appoint(heir)
        return True

    def _forget(self, ticket: Ticket[T]) -> Ticket[T] | None:
        """Take a ticket out of the queue; who leads in its place, if it was appointed."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        appointed, ticket.appointed = ticket.appointed, False
        return self._next() if appointed else None


def _left(ticket: Ticket[Any], timeout: float | None) -> float | None:
    return None if timeout is None else max(0.0, ticket.began + timeout - time.perf_counter())


def _wake(ticket: Ticket[Any]) -> bool:
    """Wake a ticket's caller; False where its event loop is closed."""
    try:
        ticket.wake()
    except RuntimeError:
        return False
    return True


def _closed() -> StateError:
    return StateError("this pool is closed; open another with Model.pool")
