"""A stream under a random schedule, and beside it in plain lists what each of its rows has read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from treadle.state import Snapshot

if TYPE_CHECKING:
    from treadle.model import Model

Event = tuple[str, Any]


@st.composite
def schedules(draw: st.DrawFn, rows: int, symbols: int, most: int = 10) -> list[Event]:
    """Events that `Driven.play` knows, for a stream of `rows` rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    indices = st.lists(st.integers(0, rows - 1), min_size=rows, max_size=rows)
    masks = st.lists(st.booleans(), min_size=rows, max_size=rows)
    lengths = st.lists(st.integers(0, 6), min_size=rows, max_size=rows)
    event = st.one_of(
        st.just(("step", None)),
        st.tuples(st.just("active"), masks),
        st.tuples(st.sampled_from(["feed", "unroll"]), lengths),
        st.tuples(st.just("reset"), st.none() | indices),
        st.tuples(st.just("select"), indices),
        st.tuples(st.just("rewind"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["fork", "restore"]), st.none()),
    )
    events: list[Event] = draw(st.lists(event, max_size=most))
    return [
        (kind, (random.integers(0, symbols, (rows, 6)), given))
        if kind in ("step", "active", "feed", "unroll")
        else (kind, given)
        for kind, given in events
    ]


class Driven:
    """A stream of several rows with a history of `size` steps.

    read: what each row has read since its start or reset. kept: the last of it, as it should be.
    """

    def __init__(self, model: Model, rows: int, size: int) -> None:
        self._model, self._size = model, size
        self.stream = model.stream(batch_size=rows, history=size)
        self.read: list[list[int]] = [[] for _ in range(rows)]
        self.kept: list[list[int]] = [[] for _ in range(rows)]
        # Which rows read in each of the steps that can be taken back.
        self._moments: list[list[bool]] = []

    def play(self, event: Event) -> None:
        kind, given = event
        getattr(self, f"_{kind}")(given)

    def _step(self, given: Any) -> None:
        ids, _ = given
        self.stream.step(ids[:, 0])
        self._note(ids[:, 0], [True] * len(ids))

    def _active(self, given: Any) -> None:
        ids, mask = given
        self.stream.step(np.where(mask, ids[:, 0], -1), active=mask)
        self._note(ids[:, 0], mask)

    def _feed(self, given: Any) -> None:
        self._whole(self.stream.feed, given)

    def _unroll(self, given: Any) -> None:
        self._whole(self.stream.unroll, given)

    def _whole(self, read: Any, given: Any) -> None:
        ids, lengths = given
        read(ids, np.array(lengths))
        for column in range(max(lengths)):
            self._note(ids[:, column], [length > column for length in lengths])

    def _reset(self, rows: list[int] | None) -> None:
        self.stream.reset(rows)
        for row in range(len(self.read)) if rows is None else rows:
            self.read[row], self.kept[row] = [], []
        self._moments.clear()

    def _select(self, rows: list[int]) -> None:
        self.stream.select(rows)
        self.read = [list(self.read[row]) for row in rows]
        self.kept = [list(self.kept[row]) for row in rows]
        self._moments.clear()

    def _rewind(self, count: int) -> None:
        count = min(count, len(self._moments))
        self.stream.rewind(count)
        for _ in range(count):
            for row, reads in enumerate(self._moments.pop()):
                if reads:
                    self.read[row].pop()
                    self.kept[row].pop()

    def _fork(self, _: None) -> None:
        origin, self.stream = self.stream, self.stream.fork()
        origin.reset()
        origin.close()

    def _restore(self, _: None) -> None:
        content = self.stream.snapshot(inputs=True).to_bytes()
        self.stream.reset()
        self.stream.restore(Snapshot.from_bytes(content))
        self._moments.clear()

    def _note(self, ids: Any, reads: list[bool]) -> None:
        for row, (token, here) in enumerate(zip(ids.tolist(), reads, strict=True)):
            if here:
                self.read[row].append(token)
                self.kept[row] = [*self.kept[row], token][-self._size :]
        self._moments = [*self._moments, list(reads)][-self._size :]
