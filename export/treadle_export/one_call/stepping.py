"""One step of a model in the body of a loop, and what every search makes of its logits."""

from collections.abc import Mapping

import onnx_ir as ir

from treadle_export.one_call.beginning import declared, dtype_of
from treadle_export.one_call.inlining import inlined
from treadle_export.one_call.opening import Opened
from treadle_export.passes.rewriting import Emitter

DOUBLE = ir.DataType.DOUBLE


def stepped(
    source: Opened,
    root: ir.Graph,
    tokens: ir.Value,
    state: Mapping[str, ir.Value],
    context: Mapping[str, ir.Value],
) -> tuple[list[ir.Node], ir.Value, dict[str, ir.Value]]:
    """The nodes of a step, its logits [B, V], and the next state by the step's inputs."""
    step = source.manifest.graphs["step"]
    feeds = {step.inputs[0].name: tokens, **state, **context}
    nodes, made = inlined(source.models["step"], root, feeds, "step.")
    logits = made["logits" if "logits" in made else step.outputs[0].name]
    return nodes, logits, {port.input: made[port.output] for port in step.state}


def log_softmax(e: Emitter, logits: ir.Value) -> ir.Value:
    """Log-probabilities in float64, as the searches in Python have them."""
    wide = e.op("Cast", logits, to=DOUBLE)
    behind = e.op("Sub", wide, e.op("ReduceMax", wide, e.axes(-1), keepdims=1))
    total = e.op("ReduceSum", e.op("Exp", behind), e.axes(-1), keepdims=1)
    return e.op("Sub", behind, e.op("Log", total))


def any_of(e: Emitter, flags: ir.Value) -> ir.Value:
    """Whether one of the flags, of any shape, is set: bool []."""
    numbers = e.op("Cast", flags, to=ir.DataType.INT64)
    return e.op("Cast", e.op("ReduceMax", numbers, keepdims=0), to=ir.DataType.BOOL)


def state_inputs(source: Opened) -> dict[str, ir.Value]:
    """Inputs of a loop's body for the states that it carries, [rows, …]."""
    return {
        port.input: declared(f"loop.{port.input}", dtype_of(port), "rows", *port.shape[1:])
        for port in source.manifest.graphs["step"].state
    }
