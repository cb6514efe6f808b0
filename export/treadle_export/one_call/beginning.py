"""What a search starts from: the encoder's context, the first states, the first symbols."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from treadle.manifest import SOURCE_MULTIPLE, Graph, StatePort, Tensor
from treadle_export.one_call.inlining import inlined
from treadle_export.one_call.opening import Opened
from treadle_export.passes.rewriting import Emitter

PROMPT, PROMPT_LENGTHS = "prompt", "prompt_lengths"

Values = Mapping[str, ir.Value]


@dataclass(frozen=True, slots=True)
class Beginning:
    """The nodes that come first, and what they give.

    asked: what a search itself reads of a call. context: by name, [B, …]. state: by the step's
    input, [B, …]. tokens: int64 [B]. rows: int64 [1], the number B of rows.
    """

    nodes: list[ir.Node]
    asked: Values
    context: Values
    state: Values
    tokens: ir.Value
    rows: ir.Value


def declared(name: str, dtype: ir.DataType, *shape: int | str) -> ir.Value:
    """A value with a name and a type, as inputs and outputs of a graph have."""
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))


def dtype_of(port: StatePort | Tensor) -> ir.DataType:
    """The type of a port of the manifest."""
    return ir.DataType.from_numpy(np.dtype(port.dtype))


def encoder_inputs(source: Opened) -> dict[str, ir.Value]:
    """What a call reads: the inputs of `encode`, or a prompt, whose rows may be empty."""
    if "encode" not in source.models:
        return {
            PROMPT: declared(PROMPT, ir.DataType.INT64, "batch", "prompt"),
            PROMPT_LENGTHS: declared(PROMPT_LENGTHS, ir.DataType.INT64, "batch"),
        }
    return {
        tensor.name: declared(tensor.name, dtype_of(tensor), *tensor.shape)
        for tensor in source.manifest.graphs["encode"].inputs
    }


def begun(source: Opened, root: ir.Graph, inputs: Values, asked: Values) -> Beginning:
    """The beginning of a search in `root`, from values in place of `encoder_inputs`."""
    begin = _encoded if "encode" in source.models else _prompted
    return begin(source, root, inputs, asked)


def _encoded(source: Opened, root: ir.Graph, inputs: Values, asked: Values) -> Beginning:
    e, interface = Emitter(root), source.manifest.graphs["encode"]
    first = inputs[interface.inputs[0].name]
    feeds = dict(inputs)
    if first.dtype == ir.DataType.INT64 and first.shape is not None and len(first.shape) == 2:
        feeds[interface.inputs[0].name] = _padded(e, first)
    rows = _rows(e, first)
    nodes, made = inlined(source.models["encode"], root, feeds, "encode.")
    after = Emitter(root)
    step = source.manifest.graphs["step"]
    state = {port.input: _initial(after, port, made, rows) for port in step.state}
    tokens = after.op("Expand", after.constant(np.array([source.start], np.int64)), rows)
    context = {tensor.name: made[tensor.name] for tensor in step.context}
    nodes = [*e.nodes, *nodes, *after.nodes]
    return Beginning(nodes, asked, context, state, tokens, rows)


def _padded(e: Emitter, source: ir.Value) -> ir.Value:
    """To a multiple of columns, as the runtime pads: a softmax over another width rounds else."""
    width = e.op("Shape", source, start=1, end=2)
    multiple = e.axes(SOURCE_MULTIPLE)
    missing = e.op("Mod", e.op("Neg", width), multiple)
    pads = e.op("Concat", e.axes(0, 0, 0), missing, axis=0)
    return e.op("Pad", source, pads, e.constant(np.int64(0)))


def _rows(e: Emitter, first: ir.Value) -> ir.Value:
    return e.op("Shape", first, start=0, end=1)


def _initial(e: Emitter, port: StatePort, made: Values, rows: ir.Value) -> ir.Value:
    if isinstance(port.initial, dict):
        return made[port.initial["output"]]
    rest = e.axes(*(int(size) for size in port.shape[1:]))
    shape = e.op("Concat", rows, rest, axis=0) if len(port.shape) > 1 else rows
    return e.op("Expand", e.constant(np.zeros((), port.dtype)), shape)


def _prompted(source: Opened, root: ir.Graph, inputs: Values, asked: Values) -> Beginning:
    """Reads the start symbol and all of a prompt but its last symbol, which the search reads."""
    e, sequence = Emitter(root), source.manifest.graphs["sequence"]
    prompt, lengths = inputs[PROMPT], inputs[PROMPT_LENGTHS]
    rows, one = _rows(e, prompt), e.axes(1)
    column = e.op("Concat", rows, one, axis=0)
    start = e.op("Expand", e.constant(np.array([[source.start]], np.int64)), column)
    read = e.op("Concat", start, prompt, axis=1)
    last = e.op("GatherElements", read, e.op("Unsqueeze", lengths, one), axis=1)
    feeds = {sequence.inputs[0].name: read, sequence.inputs[1].name: lengths}
    feeds |= {port.input: _initial(e, port, {}, rows) for port in sequence.state}
    nodes, made = inlined(source.models["sequence"], root, feeds, "prompt.")
    after = Emitter(root)
    tokens = after.op("Squeeze", last, one)
    state = _by_input(source.manifest.graphs["step"], sequence, made)
    return Beginning([*e.nodes, *nodes, *after.nodes], asked, {}, state, tokens, rows)


def _by_input(step: Graph, sequence: Graph, made: Values) -> dict[str, ir.Value]:
    outputs = {port.name: made[port.output] for port in sequence.state}
    return {port.input: outputs[port.name] for port in step.state}
