"""The states of many streams, each in a slot, and engine calls that move some of them on."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.state import Snapshot
from treadle.step_kind import step_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.arrays import Array
    from treadle.bound_step import BoundStep
    from treadle.model import Model

_KEPT = 8
"""Numbers of rows whose buffers stay bound; the one used longest ago gives way to another."""


class Slots:
    """`count` slots, each with what a stream of one row carries. One thread at a time.

    exact: every row has a call of its own, so that no kernel can tell what company it has.
    """

    def __init__(self, model: Model, count: int, *, exact: bool) -> None:
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
        self._steps = np.zeros(count, np.int64)
        self._kind = step_kind("prebound", on_device=model.on_device)
        self._bound: OrderedDict[tuple[Any, ...], BoundStep] = OrderedDict()

    def put(self, slot: int, start: Snapshot) -> None:
        """Let a slot hold what a snapshot of one row does."""
        for name, array in self._state.items():
            array[slot] = start.state[name][0]
        self._context[slot] = dict(start.context)
        self._steps[slot] = start.steps[0]

    def snapshot(self, slot: int) -> Snapshot:
        """What a slot holds."""
        one = slice(slot, slot + 1)
        state = {name: array[one] for name, array in self._state.items()}
        return Snapshot(self._digest, state, self._context[slot], self._steps[one])

    def companies(self, slots: Sequence[int]) -> list[list[int]]:
        """Places in `slots` by call: as few as there may be.

        Rows whose contexts have one width share a call: a softmax over another width would sum in
        another order.
        """
        if self._exact:
            return [[place] for place in range(len(slots))]
        companies: dict[tuple[Any, ...], list[int]] = {}
        for place, slot in enumerate(slots):
            companies.setdefault(self._widths(slot), []).append(place)
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

    def move_on(self, slots: Array, state: dict[str, Array], rows: Sequence[int]) -> None:
        """Let slots take over the rows of `state` that are theirs, and count a step."""
        kept = slots[rows]
        for name, array in self._state.items():
            array[kept] = state[name][rows]
        self._steps[kept] += 1

    def _widths(self, slot: int) -> tuple[Any, ...]:
        context = self._context[slot]
        return tuple(context[tensor.name].shape for tensor in self._graph.context)

    def _bound_for(self, chosen: Array) -> BoundStep:
        """Buffers for a call of these slots, holding the context of each."""
        key = (len(chosen), *self._widths(int(chosen[0])))
        bound = self._bound.pop(key, None)
        if bound is None:
            state = {name: array[chosen] for name, array in self._state.items()}
            context = self._joined(chosen)
            bound = self._kind(
                self._session, self._graph, self._reading, len(chosen), state, context
            )
        else:
            for name, array in self._joined(chosen).items():
                bound.context[name][...] = array
            bound.renew_context()
        self._bound[key] = bound
        if len(self._bound) > _KEPT:
            self._bound.popitem(last=False)
        return bound

    def _joined(self, chosen: Array) -> dict[str, Array]:
        return {
            tensor.name: np.concatenate([self._context[slot][tensor.name] for slot in chosen])
            for tensor in self._graph.context
        }


class Call:
    """A step that was computed: what each row gives, and a state that it may take over.

    Good until the next call.
    """

    def __init__(self, slots: Slots, chosen: Array, bound: BoundStep) -> None:
        self._slots, self._chosen, self._state = slots, chosen, bound.state
        made = [output.copy() for output in bound.outputs]
        self.outputs = [bound.named([output[row] for output in made]) for row in range(len(chosen))]

    def keep(self, rows: Sequence[int]) -> None:
        """Move the slots of these rows of the call on; the others stay as they were."""
        self._slots.move_on(self._chosen, self._state, rows)
