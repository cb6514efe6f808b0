"""A foreign model from an .onnx file: opened without trust, its control inputs fixed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx_ir.passes import common
from onnxscript import optimizer

from treadle.errors import ExportError, InputError, UnsupportedGraph
from treadle_export.adoption.control_flow import choices_of
from treadle_export.adoption.dequantize import dequantize
from treadle_export.adoption.pairs import find_pairs
from treadle_export.adoption.probing import forget_sizes
from treadle_export.adoption.recurrences import fed_by, layers_of, shown_states
from treadle_export.canonical import OPSET
from treadle_export.engine import Arrays, Engine
from treadle_export.foreign import Foreign, StatePair
from treadle_export.passes.rewriting import constant_array

_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
_ROWS, _STEPS = 2, 8
_SEED = 5


def foreign_of_file(
    path: Path,
    *,
    fixed: Mapping[str, str] | None = None,
    states: Sequence[StatePair] = (),
    lengths: str | None = None,
) -> Foreign:
    """Reads an ONNX file.

    Args:
        path: the file; its weights may lie beside it.
        fixed: control inputs that never change, name -> value as text; branches that die with
            them are removed.
        states: pairs that cannot be recognized by themselves.
        lengths: the input [batch] that says how long each row is, where no recurrent layer reads
            it as its lengths.

    Raises:
        ExportError: the file is missing, damaged or not ONNX.
        UnsupportedGraph: it uses operators of its own, or inputs are left that are neither the
            model's nor states.
        InputError: a name in `fixed`, `states` or `lengths` is none of the model's.
    """
    original = _read(path)
    model = _converted(original)
    values = {name: _parsed(model, name, text) for name, text in (fixed or {}).items()}
    for name, value in values.items():
        _fix(model, name, value)
    if fixed or any(node.op_type == "If" for node in model.graph):
        optimizer.optimize(model)
    _lift_constants(model)
    _refuse_custom(model)
    tensorwise = dequantize(model.graph)
    graph = model.graph
    _refuse_unknown(graph, states)
    if lengths is not None:
        _refuse_no_lengths(_input(model, lengths))
    known = lengths or next((name for name, _ in _lengths(graph)), None)
    source, found = _sorted_inputs(graph, states, known)
    return Foreign(
        name=path.stem,
        model=model,
        example={str(source.name): _made_up(source)},
        run=_runner(original, values),
        lengths=known,
        states=(*states, *found, *shown_states(graph)),
        tensorwise=tensorwise,
        provenance={"origin": "onnx", "producer": str(original.producer_name or "unknown")},
    )


def _sorted_inputs(
    graph: ir.Graph, states: Sequence[StatePair], lengths: str | None
) -> tuple[ir.Value, list[StatePair]]:
    """The one input that changes at every step, and the states that names and places tell.

    Raises:
        UnsupportedGraph: it is not one.
    """
    initial = {str(v.name) for v in fed_by(layers_of(graph))}
    named = {pair.input for pair in states} | {lengths}
    others = [v for v in graph.inputs if str(v.name) not in initial | named]
    taken = {pair.output for pair in states}
    free = [v for v in graph.outputs if str(v.name) not in taken]
    found: list[StatePair] = []
    if len(others) > 1:
        found, others = find_pairs(others, free)
    if len(others) != 1:
        raise UnsupportedGraph(
            f"expected one input that changes at every step, got "
            f"{', '.join(repr(v.name) for v in others) or 'none'}; name the states with --state "
            f"INPUT=OUTPUT, what says how long each row is with --lengths NAME, and fix what never "
            f"changes with --fix NAME=VALUE"
            f"{choices_of(graph, [str(value.name) for value in others])}"
        )
    return others[0], found


def _read(path: Path) -> ir.Model:
    try:
        proto = onnx.load(path)
        if not proto.graph.node:
            raise ValueError("it has no nodes")
        return ir.from_proto(proto)
    except (OSError, DecodeError, ValueError, ir.serde.SerdeError) as error:
        raise ExportError(
            f"expected an ONNX model in {path}, got a file that cannot be read ({error}); export "
            f"the model again, and keep its weight file beside it"
        ) from error


def _converted(model: ir.Model) -> ir.Model:
    """The model at the opset that passes write."""
    if model.graph.opset_imports.get("", OPSET) >= OPSET:
        return model.clone()
    try:
        proto = onnx.version_converter.convert_version(ir.to_proto(model), OPSET)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise UnsupportedGraph(
            f"expected a graph that can be brought to opset {OPSET}, got opset "
            f"{model.graph.opset_imports.get('')}: {error}; export it again with a newer opset"
        ) from error
    return ir.from_proto(proto)


def _lift_constants(model: ir.Model) -> None:
    """Makes Constant nodes initializers of the main graph, those of bodies as well."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)


def _fix(model: ir.Model, name: str, array: NDArray[Any]) -> None:
    """Makes an input a constant."""
    value = _input(model, name)
    model.graph.inputs.remove(value)
    value.const_value = ir.Tensor(array, name=name)
    model.graph.register_initializer(value)


def _input(model: ir.Model, name: str) -> ir.Value:
    for value in model.graph.inputs:
        if value.name == name:
            return value
    names = ", ".join(str(value.name) for value in model.graph.inputs)
    raise InputError(f"expected an input of the model ({names}), got {name!r}")


def _parsed(model: ir.Model, name: str, text: str) -> NDArray[Any]:
    dtype = (_input(model, name).dtype or ir.DataType.FLOAT).numpy()
    try:
        return np.array(float(text) if dtype.kind == "f" else int(text)).astype(dtype)
    except ValueError as error:
        raise InputError(f"expected a number of type {dtype} for {name}, got {text!r}") from error


def _refuse_custom(model: ir.Model) -> None:
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain not in _KNOWN_DOMAINS and node.op_identifier() not in model.functions:
            raise UnsupportedGraph(
                f"expected operators of ONNX and onnxruntime, got {node.domain}:{node.op_type} "
                f"(node {node.name!r}); custom operators need their library, which a bundle does "
                f"not carry: export the model without it"
            )


def _refuse_unknown(graph: ir.Graph, states: Sequence[StatePair]) -> None:
    inputs, outputs = (
        [str(value.name) for value in values] for values in (graph.inputs, graph.outputs)
    )
    for pair in states:
        if pair.input not in inputs or pair.output not in outputs:
            raise InputError(
                f"expected a state as INPUT=OUTPUT out of the inputs {', '.join(inputs)} and the "
                f"outputs {', '.join(outputs)}, got {pair.input}={pair.output}"
            )


def _refuse_no_lengths(value: ir.Value) -> None:
    """Lengths are one integer a row."""
    dtype, rank = value.dtype, None if value.shape is None else len(value.shape)
    if dtype not in (ir.DataType.INT64, ir.DataType.INT32) or rank not in (None, 1):
        shape = None if value.shape is None else list(value.shape)
        raise InputError(
            f"expected the lengths {value.name!r} to be int64 or int32 [batch], got "
            f"{'no type' if dtype is None else dtype.name} {shape}; name another input"
        )


def _lengths(graph: ir.Graph) -> list[tuple[str, ir.Value]]:
    """Inputs that recurrent layers read as lengths, through a Cast perhaps."""
    found: dict[str, ir.Value] = {}
    for node in layers_of(graph):
        value = node.inputs[4] if len(node.inputs) > 4 else None
        while value is not None and (before := value.producer()) is not None:
            value = before.inputs[0] if before.op_type in ("Cast", "Identity") else None
        if value is not None and value.is_graph_input():
            found[str(value.name)] = value
    return list(found.items())


def _made_up(value: ir.Value) -> NDArray[Any]:
    """An array that the input takes: the declared features, a few rows and steps."""
    shape = [size if isinstance(size, int) else 0 for size in value.shape or ()]
    for axis, size in enumerate(shape):
        features = axis == len(shape) - 1 and len(shape) > 2
        if size < 1 or (size == 1 and not features):
            shape[axis] = (_ROWS, _STEPS)[min(axis, 1)]
    random = np.random.default_rng(_SEED)
    dtype = (value.dtype or ir.DataType.FLOAT).numpy()
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, _symbols(value), shape).astype(dtype)


def _symbols(value: ir.Value) -> int:
    """Rows of the smallest table that the ids look up."""
    tables = [
        constant_array(node.inputs[0]) for node, _ in value.uses() if node.op_type == "Gather"
    ]
    return min([len(table) for table in tables if table is not None], default=2)


def _runner(model: ir.Model, fixed: Arrays) -> Callable[[Arrays], Arrays]:
    """The file as it is, in onnxruntime; inputs that are not given are zeros of one row.

    But for the sizes that it declares: the engine would refuse every input that has others.
    """
    declared = {str(value.name): value for value in model.graph.inputs}
    free = model.clone()
    for value in (*tuple(free.graph.inputs), *tuple(free.graph.outputs)):
        forget_sizes(value)
    engine = Engine(free)

    def run(feeds: Arrays) -> Arrays:
        missing = declared.keys() - feeds.keys() - fixed.keys()
        return engine.run({**{n: _zeros(declared[n]) for n in missing}, **fixed, **feeds})

    return run


def _zeros(value: ir.Value) -> NDArray[Any]:
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in value.shape or ()]
    return np.zeros(shape, (value.dtype or ir.DataType.FLOAT).numpy())
