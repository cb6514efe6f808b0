"""The states of many streams, each in a slot, and engine calls that move some of them on."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count as counting
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.bound_step import naming
from treadle.state import Snapshot
from treadle.step_kind import step_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from treadle.arrays import Array
    from treadle.bound_step import BoundStep
    from treadle.model import Model
    from treadle.nonfinite import OnNonfinite

_KEPT = 8
"""Numbers of rows whose buffers stay bound; the one used longest ago gives way to another."""


@dataclass(slots=True)
class _Company:
    """Bound buffers, and which context each row of them holds: its number, int64 [rows]."""

    bound: BoundStep
    contexts: NDArray[np.int64]


class Slots:
    """`count` slots, each with what a stream of one row carries. One thread at a time.

    exact: every row has a call of its own, so that no kernel can tell what company it has.
    on_nonfinite: what `set_aside` does; with "hold", what each slot gave last is kept for it.
    """

    def __init__(
        self, model: Model, count: int, *, exact: bool, on_nonfinite: OnNonfinite = "error"
    ) -> None:
        self._model, self._on_nonfinite = model, on_nonfinite
        self._digest = model.manifest.digest
        self._session = model.session("step")  # here, so that no call can fail to open it
        self._graph = model.manifest.graphs["step"]
        self._exact = exact
        self._reading = model.reading("step")
        self._state = {
            port.name: np.zeros((count, *map(int, port.shape[1:])), port.dtype)
            for port in self._graph.state
        }
        self._context: list[dict[str, Array]] = [{} for _ in range(count)]
        # Each context that was ever put has a number of its own, so that equal numbers are equal
        # contexts, whatever slot they were in.
        self._numbers = counting(1)
        self._context_of = np.zeros(count, np.int64)
        self._steps = np.zeros(count, np.int64)
        self._kind = step_kind("prebound", on_device=model.on_device, captured=model.captured)
        self._named = naming(self._graph)
        # What each slot gave last, one array an output; where it may be given again.
        self._last: list[Array] = []
        if on_nonfinite != "error":
            for tensor in self._graph.outputs:
                sizes = [size for size in tensor.shape[1:] if isinstance(size, int)]
                self._last.append(np.zeros((count, *sizes), tensor.dtype))
        self._kept: OrderedDict[tuple[Any, ...], _Company] = OrderedDict()

    def put(self, slot: int, start: Snapshot) -> None:
        """Let a slot hold what a snapshot of one row does."""
        for name, array in self._state.items():
            array[slot] = start.state[name][0]
        self._context[slot] = dict(start.context)
        self._context_of[slot] = next(self._numbers)
        self._steps[slot] = start.steps[0]
        for last in self._last:
            last[slot] = 0

    def snapshot(self, slot: int) -> Snapshot:
        """What a slot holds."""
        one = slice(slot, slot + 1)
        state = {name: array[one] for name, array in self._state.items()}
        return Snapshot(self._digest, state, self._context[slot], self._steps[one])

    def companies(self, slots: Sequence[int]) -> list[list[int]]:
        """Places in `slots` by call: as few as there may be.

        Rows whose contexts have one width share a call: a softmax over another width would sum in
        another order. Rows of a call are in the order of their slots, so that the same members
        find their contexts where they were, in whatever order they ask.
        """
        if self._exact:
            return [[place] for place in range(len(slots))]
        companies: dict[tuple[Any, ...], list[int]] = {}
        for place in sorted(range(len(slots)), key=slots.__getitem__):
            companies.setdefault(self._widths(slots[place]), []).append(place)
        return list(companies.values())

    def call(self, slots: Sequence[int], inputs: Sequence[Array]) -> Call:
        """Compute a step of distinct slots that are company. Raises what the engine raises."""
        chosen = np.array(slots)
        bound = self._bound_for(chosen)
        for row, x in enumerate(inputs):
            bound.x[row] = x
        bound.write(self._state, chosen)
        bound.run()
        return Call(self, chosen, bound)

    def move_on(
        self, slots: Array, state: dict[str, Array], outputs: list[Array], rows: Sequence[int]
    ) -> None:
        """Let slots take over the rows of `state` that are theirs, and count a step."""
        kept = slots[rows]
        for name, array in self._state.items():
            array[kept] = state[name][rows]
        self._steps[kept] += 1
        if self._on_nonfinite == "hold":
            for last, output in zip(self._last, outputs, strict=True):
                last[kept] = output[rows]

    def set_aside(self, slot: int) -> Any:
        """What a slot gives whose input is not finite: it holds, or starts anew."""
        if self._on_nonfinite == "reset":
            initial = self._model.initial_state(self._context[slot], 1)
            for name, array in self._state.items():
                array[slot] = initial[name][0]
            self._steps[slot] = 0
        return self._named([last[slot].copy() for last in self._last])

    def _widths(self, slot: int) -> tuple[Any, ...]:
        context = self._context[slot]
        return tuple(context[tensor.name].shape for tensor in self._graph.context)

    def _bound_for(self, chosen: Array) -> BoundStep:
        """Buffers for a call of these slots, holding the context of each."""
        key = (len(chosen), *self._widths(int(chosen[0])))
        company = self._kept.pop(key, None) or self._bind(chosen)
        self._kept[key] = company
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        # Context is large beside the state: only rows that hold another's are written.
        wanted = self._context_of[chosen]
        changed = np.flatnonzero(company.contexts != wanted)
        if len(changed):
            company.contexts[changed] = 0  # nobody's, should what follows be interrupted
            for row in changed.tolist():
                for name, buffer in company.bound.context.items():
                    buffer[row] = self._context[int(chosen[row])][name][0]
            company.bound.renew_context()
            company.contexts = wanted
        return company.bound

    def _bind(self, chosen: Array) -> _Company:
        """New buffers, of as many rows as there are slots and for contexts of their widths."""
        state = {name: array[chosen] for name, array in self._state.items()}
        one = self._context[int(chosen[0])]
        context = {
            tensor.name: np.zeros((len(chosen), *one[tensor.name].shape[1:]), tensor.dtype)
            for tensor in self._graph.context
        }
        rows = len(chosen)
        bound = self._kind(self._session, self._graph, self._reading, rows, state, context)
        return _Company(bound, np.zeros(rows, np.int64))


class Call:
    """A step that was computed: what each row gives, and a state that it may take over.

    Good until the next call.
    """

    def __init__(self, slots: Slots, chosen: Array, bound: BoundStep) -> None:
        self._slots, self._chosen, self._state = slots, chosen, bound.state
        self._made = made = [output.copy() for output in bound.outputs]
        self.outputs = [bound.named([output[row] for output in made]) for row in range(len(chosen))]

    def keep(self, rows: Sequence[int]) -> None:
        """Move the slots of these rows of the call on; the others stay as they were."""
        self._slots.move_on(self._chosen, self._state, self._made, rows)
