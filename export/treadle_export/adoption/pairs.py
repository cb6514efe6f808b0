"""States that a graph carries already: inputs that come back as outputs, made into ports."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle.manifest import StatePort
from treadle_export.adoption.probing import Probed, probe
from treadle_export.adoption.recurrences import Ports, from_file
from treadle_export.engine import Arrays
from treadle_export.foreign import StatePair
from treadle_export.passes.rewriting import Emitter

_SIDE = re.compile(
    r"(?<![a-z])(in|out|input|output|new|next|prev|previous|past|present|old|final|init|initial|n|0|t)"
    r"(?![a-z])|(?<=[a-z])(n|0|in|out|new|next)$"
)
"""What names say of a state's side: h0 and hn, state_in and state_out, past and present."""


def find_pairs(
    inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]
) -> tuple[list[StatePair], list[ir.Value]]:
    """Pairs of unassigned inputs and outputs that are one state each, and the inputs left over.

    A pair has one element type and compatible shapes, and a name that differs only in its side;
    or, where as many inputs as outputs of a shape are left, the same place among them. The first
    input is taken for what the model reads, unless its name says otherwise.

    Raises:
        UnsupportedGraph: names say that two are one state, and their shapes or types differ.
    """
    pairs: list[StatePair] = []
    left, free = list(inputs), list(outputs)
    for value in inputs:
        same = [out for out in free if _fits(value, out) and _stem(value) == _stem(out)]
        if len(same) == 1:
            pairs.append(StatePair(str(value.name), str(same[0].name)))
            left.remove(value)
            free.remove(same[0])
    for value in [value for value in left if value is not inputs[0]]:
        alike = [other for other in left if other is not inputs[0] and _fits(value, other)]
        fitting = [out for out in free if _fits(value, out)]
        if alike and len(alike) == len(fitting):
            out = fitting[alike.index(value)]
            pairs.append(StatePair(str(value.name), str(out.name)))
            left.remove(value)
            free.remove(out)
    for value in (value for value in left if value is not inputs[0]):
        _refuse_unlike(value, free)
    return pairs, left


def _refuse_unlike(value: ir.Value, outputs: Sequence[ir.Value]) -> None:
    """Refuses an input that an output is named after, but cannot become."""
    for out in outputs:
        if _stem(value) == _stem(out) and not _fits(value, out):
            raise UnsupportedGraph(
                f"expected the state {value.name!r} to come back in the shape that it went in, "
                f"{_described(value)}, got {out.name!r}, {_described(out)}; export the model with "
                f"a state of one size, or name the right pair with --state INPUT=OUTPUT"
            )


def _described(value: ir.Value) -> str:
    shape = "of no shape" if value.shape is None else str([_size(s) for s in value.shape])
    return f"{'of no type' if value.dtype is None else value.dtype.name.lower()} {shape}"


def _size(size: int | ir.SymbolicDim) -> int | str | None:
    return size if isinstance(size, int) else size.value


def _stem(value: ir.Value) -> str:
    name = str(value.name).lower()
    while (shorter := _SIDE.sub("", name).strip("_./-: ")) != name:
        name = shorter
    return re.sub(r"[^a-z0-9]+", "", name)


def _fits(value: ir.Value, out: ir.Value) -> bool:
    """Whether two values can be the same state: one type, one rank, no fixed size in conflict."""
    if value.dtype != out.dtype or value.shape is None or out.shape is None:
        return value.dtype == out.dtype and value.shape is None and out.shape is None
    sizes = list(zip(value.shape, out.shape, strict=False))
    clash = any(isinstance(a, int) and isinstance(b, int) and a != b and a * b for a, b in sizes)
    return len(value.shape) == len(out.shape) > 0 and not clash


def probe_with_pairs(
    model: ir.Model,
    example: Arrays,
    ports: Mapping[str, tuple[int, ...]],
    pairs: Sequence[StatePair],
) -> tuple[Probed, dict[str, int]]:
    """Probes a graph whose state inputs declare their batch axis badly, or not at all.

    Returns what was probed and the batch axis of each pair.

    Raises:
        UnsupportedGraph: no reading of the declared shapes runs at several batch sizes.
    """
    given = {str(value.name): value for value in model.graph.inputs}
    readings = [list(_readings(given[pair.input])) for pair in pairs]
    last: UnsupportedGraph | None = None
    for chosen in product(*readings):
        shapes = {pair.input: shape for pair, shape in zip(pairs, chosen, strict=True)}
        try:
            probed = probe(model, example, {**ports, **shapes})
        except UnsupportedGraph as error:
            last = error
            continue
        for pair in pairs:
            _refuse_mismatch(pair, shapes[pair.input], probed)
        return probed, {name: shape.index(-1) for name, shape in shapes.items()}
    raise last or UnsupportedGraph("expected states with a batch axis, got none")


def _readings(value: ir.Value) -> Iterator[tuple[int, ...]]:
    """Shapes that a state may have, -1 for the batch axis; a declared 0 or name is unknown."""
    if value.shape is None:
        raise UnsupportedGraph(
            f"expected the state {value.name!r} to declare its shape, got none; export the model "
            f"with shapes, or fix the sizes of its inputs"
        )
    sizes = [size if isinstance(size, int) and size > 0 else None for size in value.shape]
    unknown = [axis for axis, size in enumerate(sizes) if size is None]
    for axis in unknown or [axis for axis, size in enumerate(sizes) if size == 1]:
        yield tuple(-1 if place == axis else (size or 1) for place, size in enumerate(sizes))


def _refuse_mismatch(pair: StatePair, shape: tuple[int, ...], probed: Probed) -> None:
    expected = [probed.values[pair.output].shape[shape.index(-1)] if s < 0 else s for s in shape]
    found = list(probed.values[pair.output].shape)
    if found != expected:
        raise UnsupportedGraph(
            f"expected the state {pair.input}={pair.output} to come back in the shape that it "
            f"went in, {expected}, got {found}; name the right pair with --state input=output"
        )


def make_ports(
    graph: ir.Graph,
    pairs: Sequence[StatePair],
    axes: Mapping[str, int],
    probed: Probed,
    first: Mapping[str, NDArray[Any]],
) -> Ports:
    """Gives each pair the names and the layout of ports: [batch, …].

    `first`: input of a pair -> the row that it starts from, where that is not zero.
    """
    made = {pair.input: _port(graph, pair, axes[pair.input], probed) for pair in pairs}
    rows = {made[name].name: row for name, row in first.items()}
    ports = [
        port._replace(initial=from_file(port.name)) if port.name in rows else port
        for port in made.values()
    ]
    return Ports(tuple(ports), rows)


def _port(graph: ir.Graph, pair: StatePair, batch: int, probed: Probed) -> StatePort:
    old = next(value for value in graph.inputs if value.name == pair.input)
    out = next(value for value in graph.outputs if value.name == pair.output)
    array = probed.values[pair.output]
    rest = [size for axis, size in enumerate(array.shape) if axis != batch]
    name = re.sub(r"[^A-Za-z0-9_.]+", ".", pair.input)
    port = StatePort(
        name=name,
        input=f"state.{name}",
        output=f"next_state.{name}",
        dtype=str(array.dtype),
        shape=("batch", *rest),
        initial="zeros",
    )
    kind = ir.TensorType(ir.DataType.from_numpy(array.dtype))
    new = ir.Value(name=port.input, shape=ir.Shape(port.shape), type=kind)
    before, after = Emitter(graph), Emitter(graph)
    front = [batch, *(axis for axis in range(array.ndim) if axis != batch)]
    back = [int(place) for place in np.argsort(front)]
    inside = before.op("Transpose", new, perm=back) if batch else new
    before.name_after(f"{port.input}.")
    if len(graph):
        graph.insert_before(graph[0], before.nodes)
    for user, index in list(old.uses()):
        user.replace_input_with(index, inside)
    graph.inputs[list(graph.inputs).index(old)] = new
    following = after.op("Transpose", out, perm=front) if batch else after.op("Identity", out)
    following.name, following.shape, following.type = port.output, new.shape, kind
    after.name_after(f"{port.output}.")
    graph.extend(after.nodes)
    graph.outputs.remove(out)
    graph.outputs.append(following)
    return port
