"""Takes recurrences out of If and Loop bodies, so that their states can become ports.

An If whose condition is the same at every size is the branch that it takes. A Loop of a fixed
number of rounds is that many copies of its body, each with recurrent layers, and states, of its
own. A Loop over time becomes a Scan (see `scans.py`). Whatever chooses by data is refused by name.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle_export.adoption.bodies import (
    CONTROL,
    bodies_of,
    data_roots,
    layers_within,
    move_out,
)
from treadle_export.adoption.loops import as_scan, is_endless, reads_steps
from treadle_export.adoption.pairs import probe_with_pairs
from treadle_export.adoption.probing import Probed
from treadle_export.adoption.recurrences import remove_unused
from treadle_export.adoption.scans import scanned_axes, scanned_values
from treadle_export.engine import Arrays
from treadle_export.foreign import StatePair
from treadle_export.passes.rewriting import Emitter, constant_array, given

_MOST_ROUNDS = 64
"""Rounds of a Loop that are written out: more would make a file that nobody wants to run."""

_DEPTH = 16


def flatten(model: ir.Model, example: Arrays, pairs: Sequence[StatePair]) -> Probed | None:
    """Resolves control flow in place, outermost first, until only Scans over time are left.

    Returns what was seen of the graph at last; None where it has no control flow.

    Raises:
        UnsupportedGraph: a recurrent layer lies in a branch, or in a loop, that depends on data,
            or a Loop is left.
    """
    for _ in range(_DEPTH):
        nodes = [node for node in model.graph if node.op_type in CONTROL]
        if not nodes:
            return None
        probed, _axes = probe_with_pairs(model, example, {}, pairs)
        resolved = [node for node in nodes if _resolve(model.graph, node, probed)]
        if not resolved:
            _refuse_loops(model.graph)
            return probed
        remove_unused(model.graph)
    raise UnsupportedGraph(
        f"expected If, Loop and Scan nodes within each other at most {_DEPTH} deep, got more; "
        f"export the model without control flow"
    )


def _refuse_loops(graph: ir.Graph) -> None:
    loops = [n for n in ir.traversal.RecursiveGraphIterator(graph) if n.op_type == "Loop"]
    if loops:
        raise UnsupportedGraph(
            f"expected loops over time, or of at most {_MOST_ROUNDS} rounds known beforehand, got "
            f"the Loop node {loops[0].name!r}: a bundle holds no Loop, since it may never end; fix "
            f"the input that says how often it runs with --fix NAME=VALUE, or export the model "
            f"without it"
        )


def _resolve(graph: ir.Graph, node: ir.Node, probed: Probed) -> bool:
    """Rewrites one node where that is possible, and says whether it did."""
    if node.op_type == "If":
        return _take_branch(node, probed)
    if node.op_type == "Loop":
        return _resolve_loop(graph, node, probed)
    return _write_out_scan(graph, node, probed)


def _steady(value: ir.Value, probed: Probed) -> NDArray[Any] | None:
    """What a value is if it depends on no data and was the same in all runs, else None."""
    constant = constant_array(value)
    if constant is not None:
        return np.asarray(constant)
    seen = [run.get(str(value.name)) for run in probed.runs]
    if data_roots(value) or seen[0] is None:
        return None
    same = all(other is not None and np.array_equal(seen[0], other) for other in seen)
    return seen[0] if same else None


def _take_branch(node: ir.Node, probed: Probed) -> bool:
    condition = given(node, 0)
    value = _steady(condition, probed)
    if value is None:
        if layers := layers_within(node):
            raise UnsupportedGraph(_said(node, layers, f"a condition that {_why(condition)}"))
        return False
    branch = "then_branch" if bool(value.reshape(-1)[0]) else "else_branch"
    body = node.attributes[branch].as_graph()
    made = move_out(body, (), node, f"{node.name or 'if'}.")
    _replace(node, made)
    return True


def _why(value: ir.Value) -> str:
    roots = ", ".join(repr(root.name) for root in data_roots(value))
    return f"depends on the values of {roots}" if roots else "changes with the size of the input"


def _said(node: ir.Node, layers: Sequence[ir.Node], what: str) -> str:
    inside = ", ".join(f"{layer.op_type} {layer.name!r}" for layer in layers)
    return (
        f"expected {node.op_type} node {node.name!r} to run the same way at every step, got {what} "
        f"around {inside}; one row of a batch would choose for all: fix the input that it comes "
        f"from with --fix NAME=VALUE, or adopt one branch as a model of its own"
    )


def _resolve_loop(graph: ir.Graph, node: ir.Node, probed: Probed) -> bool:
    layers = layers_within(node)
    count = node.inputs[0]
    if not is_endless(node) or count is None:
        if layers:
            raise UnsupportedGraph(_said(node, layers, "a loop that stops by a computed condition"))
        return False
    if reads_steps(node, probed):
        as_scan(graph, node, probed)
        return True
    rounds = _steady(count, probed)
    if rounds is None:
        if layers:
            raise UnsupportedGraph(_said(node, layers, f"a number of rounds that {_why(count)}"))
        return False
    return _write_out_loop(node, int(rounds.reshape(-1)[0]))


def _too_many(node: ir.Node, rounds: int) -> bool:
    """Whether a loop stays one. Raises UnsupportedGraph where layers inside would be lost."""
    if rounds <= _MOST_ROUNDS:
        return False
    if layers := layers_within(node):
        raise UnsupportedGraph(_said(node, layers, f"{rounds} rounds, more than {_MOST_ROUNDS},"))
    return True


def _write_out_loop(node: ir.Node, rounds: int) -> bool:
    if _too_many(node, rounds):
        return False
    (body,) = bodies_of(node)
    e = Emitter(_root(node))
    go = e.constant(np.array(True))
    carried = [given(node, index) for index in range(2, len(node.inputs))]
    stacks: list[list[ir.Value]] = [[] for _ in body.outputs[1 + len(carried) :]]
    for turn in range(rounds):
        read = [e.constant(np.int64(turn)), go, *carried]
        made = move_out(body, read, node, f"{node.name or 'loop'}.{turn}.")[1:]
        carried, each = made[: len(carried)], made[len(carried) :]
        for stack, value in zip(stacks, each, strict=True):
            stack.append(e.op("Unsqueeze", value, e.axes(0)))
    if any(stacks) != bool(stacks):
        return False  # no rounds at all, of a loop that collects something: it stays
    joined = [e.op("Concat", *stack, axis=0) for stack in stacks]
    _finish(e, node, [*carried, *joined])
    return True


def _write_out_scan(graph: ir.Graph, node: ir.Node, probed: Probed) -> bool:
    """Copies the body of a Scan over an axis of fixed length, neither batch nor time."""
    axes = scanned_axes(node, probed)
    found = [probed.axes.get(str(value.name)) for value in scanned_values(node)]
    if any(a is not None and a.time == axis for a, axis in zip(found, axes, strict=True)):
        return False  # over time: `scans.py`
    if any(a is not None and a.batch == axis for a, axis in zip(found, axes, strict=True)):
        raise UnsupportedGraph(
            f"expected Scan node {node.name!r} to go over time, or over an axis of fixed length, "
            f"got one over the rows of the batch: a row would feel its neighbours; export the "
            f"model without it"
        )
    first = scanned_values(node)[0]
    rounds = int(probed.values[str(first.name)].shape[axes[0]])
    if _too_many(node, rounds):
        return False
    return _copies_of_scan(graph, node, axes, rounds)


def _copies_of_scan(graph: ir.Graph, node: ir.Node, axes: Sequence[int], rounds: int) -> bool:
    (body,) = bodies_of(node)
    scanned = scanned_values(node)
    carried = [given(node, index) for index in range(len(node.inputs) - len(scanned))]
    backward = node.attributes.get_ints("scan_input_directions", ()) or [0] * len(scanned)
    into = node.attributes.get_ints("scan_output_axes", ()) or [0] * len(body.outputs)
    behind = node.attributes.get_ints("scan_output_directions", ()) or [0] * len(body.outputs)
    states = len(carried)
    stacks: list[list[ir.Value]] = [[] for _ in body.outputs[states:]]
    e = Emitter(graph)
    for turn in range(rounds):
        read = list(carried)
        front = Emitter(graph)
        for value, axis, back in zip(scanned, axes, backward, strict=True):
            place = front.constant(np.int64(rounds - 1 - turn if back else turn))
            read.append(front.op("Gather", value, place, axis=axis))
        prefix = f"{node.name or 'scan'}.{turn}."
        front.name_after(f"{prefix}read.")
        graph.insert_before(node, front.nodes)
        made = move_out(body, read, node, prefix)
        carried = made[:states]
        for stack, value, axis in zip(stacks, made[states:], into, strict=False):
            stack.append(e.op("Unsqueeze", value, e.axes(axis)))
    ordered = [s[::-1] if back else s for s, back in zip(stacks, behind, strict=False)]
    joined = [e.op("Concat", *s, axis=a) for s, a in zip(ordered, into, strict=False)]
    _finish(e, node, [*carried, *joined])
    return True


def _root(node: ir.Node) -> ir.Graph:
    if not isinstance(node.graph, ir.Graph):
        raise ValueError(f"{node.name!r} belongs to no graph")
    return node.graph


def _replace(node: ir.Node, values: Sequence[ir.Value]) -> None:
    _finish(Emitter(_root(node)), node, values)


def _finish(e: Emitter, node: ir.Node, values: Sequence[ir.Value]) -> None:
    """Lets copies of `values` take the place of the outputs, each under its own name."""
    e.replace(node, *(e.op("Identity", value) for value in values))


def choices_of(graph: ir.Graph, names: Sequence[str]) -> str:
    """What to say of inputs that choose a branch: which layers lie there, which values to give."""
    said: dict[str, str] = {}
    for node in graph:
        layers = layers_within(node) if node.op_type == "If" else []
        roots = [str(root.name) for root in data_roots(given(node, 0))] if layers else []
        inside = ", ".join(f"{layer.op_type} {layer.name!r}" for layer in layers)
        for name in set(names).intersection(roots):
            said[name] = (
                f"; {name!r} chooses between branches with the layers {inside}: give it the value "
                f"that your streams have, one bundle for each value (--fix "
                f"{name}={_compared(graph, name)})"
            )
    return "".join(said.values())


def _compared(graph: ir.Graph, name: str) -> str:
    """A value that the input is compared with, to show how one is given."""
    for node in graph:
        if node.op_type in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
            read = {str(value.name): value for value in node.inputs if value is not None}
            constants = [a for v in read.values() if (a := constant_array(v)) is not None]
            if name in read and constants and constants[0].size == 1:
                return str(constants[0].reshape(-1)[0])
    return "VALUE"
