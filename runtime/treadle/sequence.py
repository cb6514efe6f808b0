"""Read whole sequences, with rows that have nothing to read left out of the call.

A recurrent operator gives a row of length 0 a zero state, and an empty batch or no time at all
aborts the process: neither may reach the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from treadle.arrays import Array
    from treadle.history import History
    from treadle.manifest import Graph

# Columns of one call: bounds the memory that a long sequence takes.
SPAN = 512


def spans(columns: int, singles: int) -> Iterator[slice]:
    """Slices that cover all columns, in order; the last `singles` columns one by one."""
    head = max(0, columns - singles)
    for first in range(0, head, SPAN):
        yield slice(first, min(first + SPAN, head))
    for column in range(head, columns):
        yield slice(column, column + 1)


class Carried:
    """What is carried from span to span: the state and steps of all rows, and the moments."""

    __slots__ = ("history", "state", "steps")

    def __init__(
        self, state: Mapping[str, Array], steps: NDArray[np.int64], history: History
    ) -> None:
        self.state, self.steps, self.history = state, steps, history


def read_spans(
    session: Any,
    graph: Graph,
    x: Array,
    lengths: NDArray[np.int64],
    carried: Carried,
    context: Mapping[str, Array],
) -> Iterator[tuple[slice, NDArray[np.int64], list[Array]]]:
    """Read `x` [batch, time, …] up to each row's length, span by span, and move `carried` on.

    Yields the span, the rows that read in it (int64 [n]), and their outputs [n, span, …], or
    [n, …] at the last step that a row reads in it where the graph gives one step only. The last
    columns go one by one, as many as the history holds.
    """
    columns, history = int(lengths.max()), carried.history
    for span in spans(columns, history.size):
        count = np.clip(lengths - span.start, 0, span.stop - span.start)
        if span.start >= columns - history.size:
            history.add(carried.state, carried.steps)
        rows, outputs, carried.state = run_sequence(
            session, graph, x[:, span], count, carried.state, context
        )
        carried.steps = carried.steps + count
        yield span, rows, outputs


def run_sequence(
    session: Any,
    graph: Graph,
    x: Array,
    lengths: NDArray[np.int64],
    state: Mapping[str, Array],
    context: Mapping[str, Array],
) -> tuple[NDArray[np.int64], list[Array], dict[str, Array]]:
    """Read `x` [batch, time, …] up to each row's length: 0 for some, not for all.

    Returns the rows that read something (int64 [n]), their outputs as the graph gives them, and
    the state of all rows after it [batch, …].
    """
    rows = np.flatnonzero(lengths)

    def picked(array: Array) -> Array:
        return array if len(rows) == len(lengths) else array[rows]

    feeds = {graph.inputs[0].name: picked(x), graph.inputs[1].name: picked(lengths)}
    feeds |= {tensor.name: picked(context[tensor.name]) for tensor in graph.context}
    feeds |= {port.input: picked(state[port.name]) for port in graph.state}
    feeds = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
    names = [tensor.name for tensor in graph.outputs] + [port.output for port in graph.state]
    made = session.run(names, feeds)
    after = {}
    for port, rows_after in zip(graph.state, made[len(graph.outputs) :], strict=True):
        after[port.name] = state[port.name].copy()
        after[port.name][rows] = rows_after
    return rows, made[: len(graph.outputs)], after
