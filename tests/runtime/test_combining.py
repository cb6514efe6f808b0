"""Whoever finds nobody at work works for all: turns are handed on, also past those who are gone."""

from __future__ import annotations

import threading

import pytest

from treadle.combining import Combiner, Ticket
from treadle.errors import StateError

PATIENCE = 30.0


class Doubling(Combiner[int]):
    """Doubles numbers, once its gate is open; remembers who was in which turn."""

    def __init__(self) -> None:
        super().__init__(self._double)
        self.turns: list[list[int]] = []
        self.entered, self.gate = threading.Event(), threading.Event()

    def _double(self, tickets: list[Ticket[int]]) -> None:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.turns.append([n for ticket in tickets for n in ticket.asked])
        for ticket in tickets:
            ticket.answers = [2 * n for n in ticket.asked]


def test_a_turn_is_handed_past_a_caller_whose_event_loop_is_closed() -> None:
    combiner, answers = Doubling(), []

    def ask(n: int) -> None:
        answers.extend(combiner.ask([n]))

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    first = threading.Thread(target=ask, args=(1,), daemon=True)
    first.start()
    assert combiner.entered.wait(PATIENCE)
    assert not combiner._enter(Ticket([2], gone))
    last = threading.Thread(target=ask, args=(3,), daemon=True)
    last.start()
    while combiner.waiting < 2:
        pass
    combiner.gate.set()
    for thread in (first, last):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert sorted(answers) == [2, 6]
    assert combiner.turns == [[1], [3]]
    assert combiner.ask([4, 5]) == [8, 10]


def test_closed() -> None:
    combiner = Doubling()
    combiner.close()
    combiner.close()
    with pytest.raises(StateError, match="closed"):
        combiner.ask([1])


def test_closing_does_not_wait_for_a_task_that_was_to_lead_and_has_not_begun() -> None:
    combiner, woken = Doubling(), []
    first = threading.Thread(target=combiner.ask, args=([1],), daemon=True)
    first.start()
    assert combiner.entered.wait(PATIENCE)
    task = Ticket([2], lambda: woken.append(task.done))
    combiner._enter(task)
    combiner.gate.set()
    first.join(PATIENCE)
    assert woken == [False]  # to lead
    combiner.close()
    assert woken == [False, True]
    assert isinstance(task.answers[0], StateError)
