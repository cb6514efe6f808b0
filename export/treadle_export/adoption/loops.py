"""Writes a Loop over time as a Scan: every round reads the step of its own number.

That holds where the number of rounds is the number of steps, the loop never stops earlier, and the
round's number is used for nothing but to take a step out of what has a time axis.
Operators: ONNX Loop, Scan, Gather.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle_export.adoption.bodies import bodies_of, captured
from treadle_export.adoption.probing import Probed
from treadle_export.passes.rewriting import Emitter, constant_array, given

_FIRST_CARRIED = 2  # in the inputs of Loop and of its body: before it come count and condition
_RENAMING = frozenset({"Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape"})


def is_endless(node: ir.Node) -> bool:
    """Whether nothing but its number of rounds ends a Loop."""
    (body,) = bodies_of(node)
    start = node.inputs[1]
    if start is not None:
        array = constant_array(start)
        if array is None or not array.all():
            return False
    following = body.outputs[0]
    while (before := following.producer()) is not None and before.op_type in ("Identity", "Cast"):
        following = given(before, 0)
    array = constant_array(following)
    return following is body.inputs[1] or (array is not None and bool(array.all()))


def reads_steps(node: ir.Node, probed: Probed) -> bool:
    """Whether a Loop makes one round for each step of the sequence."""
    count = node.inputs[0]
    if count is None or constant_array(count) is not None:
        return False
    seen = [run.get(str(count.name)) for run in probed.runs[:2]]
    if any(array is None or array.size != 1 for array in seen):
        return False
    rounds = tuple(int(array.reshape(-1)[0]) for array in seen if array is not None)
    (body,) = bodies_of(node)
    lengths = {probed.lengths.get(str(value.name)) for value in captured(body)}
    return rounds[0] != rounds[1] and rounds in lengths


def as_scan(graph: ir.Graph, node: ir.Node, probed: Probed) -> None:
    """Replaces a Loop over time by a Scan.

    Raises:
        UnsupportedGraph: a round looks at more than its own step, or counts the rounds.
    """
    body = bodies_of(node)[0].clone(allow_outer_scope_values=True)
    number, go = body.inputs[0], body.inputs[1]
    scanned: list[ir.Value] = []
    axes: list[int] = []
    for gather, rank in list(_taken(node, number)):
        source = given(gather, 0)
        axis = _time_of(node, gather, source, probed)
        step = ir.Value(name=f"{source.name}.step.{len(scanned)}", type=source.type)
        e = Emitter(graph)
        e.replace(gather, e.op("Unsqueeze", step, e.axes(axis)) if rank else e.op("Identity", step))
        body.inputs.append(step)
        scanned.append(source)
        axes.append(axis)
    true = Emitter(graph).constant(np.array(True))
    for user, index in list(go.uses()):
        user.replace_input_with(index, true)
    body.outputs.pop(0)
    del body.inputs[:_FIRST_CARRIED]
    _drop_unused(body)
    _refuse_looking(node, body, probed)
    e = Emitter(graph)
    carried = [given(node, index) for index in range(_FIRST_CARRIED, len(node.inputs))]
    made = e.ops(
        "Scan",
        *carried,
        *scanned,
        outputs=len(body.outputs),
        body=body,
        num_scan_inputs=len(scanned),
        scan_input_axes=axes,
    )
    e.tape.nodes[-1].name = node.name
    e.replace(node, *made)


def _taken(node: ir.Node, number: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """The Gathers that take this round's step, and the rank of their index."""
    for user, index in list(number.uses()):
        if user.op_type in _RENAMING and index == 0:
            yield from _taken(node, user.outputs[0])
        elif user.op_type == "Gather" and index == 1:
            yield user, _rank(number)
        elif user.outputs[0].uses() or user.outputs[0].is_graph_output():
            raise UnsupportedGraph(
                f"expected Loop node {node.name!r} to use the number of its round to take a step "
                f"of its input and for nothing else, got {user.op_type} node {user.name!r}; carry "
                f"a position as a state of the loop, [batch, 1], or write the recurrence as a layer"
            )


def _rank(index: ir.Value) -> int:
    """0 for a scalar, 1 for a list of one: as many as were added to the round's number."""
    node, rank = index.producer(), 0
    while node is not None:
        rank += {"Unsqueeze": 1, "Squeeze": -1, "Reshape": 1}.get(node.op_type, 0)
        node = given(node, 0).producer()
    return rank


def _time_of(node: ir.Node, gather: ir.Node, source: ir.Value, probed: Probed) -> int:
    axes, seen = probed.axes.get(str(source.name)), probed.values.get(str(source.name))
    if axes is None or seen is None:
        raise UnsupportedGraph(
            f"expected Loop node {node.name!r} to take its steps from a value outside of its body, "
            f"got Gather node {gather.name!r} of {source.name!r}; take them from the input itself"
        )
    axis = gather.attributes.get_int("axis", 0) % seen.ndim
    if axis != axes.time:
        raise UnsupportedGraph(
            f"expected Loop node {node.name!r} to take steps along the time axis of "
            f"{source.name!r}, {axes.time}, got Gather node {gather.name!r} along {axis}; "
            f"loop over time, or a fixed number of rounds"
        )
    return axis


def _drop_unused(body: ir.Graph) -> None:
    """Removes what nobody reads: how the round's number became an index."""
    kept = {id(value) for value in body.outputs}
    for node in reversed(list(body)):
        if not any(value.uses() or id(value) in kept for value in node.outputs):
            body.remove(node, safe=True)


def _refuse_looking(node: ir.Node, body: ir.Graph, probed: Probed) -> None:
    for value in captured(body):
        axes = probed.axes.get(str(value.name))
        if axes is not None and axes.time is not None:
            raise UnsupportedGraph(
                f"expected a round of Loop node {node.name!r} to look at its own step, got all of "
                f"{value.name!r} along time; a stream has no future: take one step of it"
            )
