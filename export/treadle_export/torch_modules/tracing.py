"""A torch module with recurrent layers as one ONNX graph, batch and time free."""

import copy
import re
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from treadle.errors import UnsupportedGraph
from treadle_export.canonical import IR_VERSION
from treadle_export.capturing.opaque_ops import TRANSLATIONS
from treadle_export.capturing.torch_export import exported, to_onnx
from treadle_export.passes.canonicalize import forget_tracing
from treadle_export.torch_modules.axes import Reading
from treadle_export.torch_modules.calls import first_line
from treadle_export.torch_modules.named_tensors import Call, named_outputs
from treadle_export.torch_modules.opaque import layers_in, with_opaque_modules
from treadle_export.torch_modules.packing import packing_replaced
from treadle_export.torch_modules.projections import remove_unused, settle_projections

_INSIDE = "module"


class _Called(nn.Module):
    """Makes a module's call a `forward` from one tuple of tensors to another."""

    def __init__(self, module: nn.Module, call: Call) -> None:
        super().__init__()
        self.add_module(_INSIDE, module)
        self._call = call

    def forward(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        args, kwargs = self._call.arguments(tensors, as_lists=False)
        outputs = named_outputs(self.get_submodule(_INSIDE)(*args, **kwargs)).values()
        seen = {id(tensor) for tensor in tensors}
        answers: list[Tensor] = []
        for tensor in outputs:
            # What goes out twice, or comes in and goes out, is two values of a graph.
            answers.append(tensor.clone() if id(tensor) in seen else tensor)
            seen.add(id(tensor))
        return tuple(answers)


def trace(
    module: nn.Module, call: Call, reading: Reading, name: str, outputs: Sequence[str]
) -> ir.Model:
    """Traces `module`; each layer of its recurrent modules becomes one node.

    Weights are named by their path in the module, those of recurrent layers `<path>.<layer>.w`,
    `.r` and `.b`; inputs as in `call`, outputs as in `outputs`; batch and time axes by these words.

    Raises:
        UnsupportedGraph: torch cannot trace it, an axis is fixed in it, or a recurrent layer does
            not cross as one node.
    """
    opaque = copy.deepcopy(module)
    with_opaque_modules(opaque)
    example = tuple(reading.example(call).values())
    free = [_free_axes(reading, name) for name in call.tensors]
    dynamic = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for axes in free)
    try:
        with packing_replaced(opaque):
            program = exported(_Called(opaque, call), (example,), {"tensors": dynamic})
    except UnsupportedGraph:
        raise
    except Exception as error:
        raise UnsupportedGraph(
            f"expected a module that torch.export can trace, got from {type(module).__name__}: "
            f"{first_line(error)}; keep Python control flow in forward free of tensor values, and "
            f"sizes taken from shapes"
        ) from error
    _refuse_other_nodes(program, module, reading)
    _refuse_fixed(program, call, free)
    model = _translated(program, list(call.tensors), list(outputs))
    _finish(model, module, program, free, name)
    return model


def _translated(program: ExportedProgram, inputs: list[str], outputs: list[str]) -> ir.Model:
    try:
        return to_onnx(program, inputs, outputs)
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, torch.onnx.errors.OnnxExporterError) and cause.__cause__:
            cause = cause.__cause__
        raise UnsupportedGraph(
            f"expected a module whose operators ONNX has, got from torch.onnx.export: "
            f"{first_line(cause)}; write forward without that operator"
        ) from error


def _free_axes(reading: Reading, name: str) -> dict[int, str]:
    axes = reading.axes[name]
    named = {axes.batch: "batch", axes.time: "time"}
    return {axis: label for axis, label in named.items() if axis is not None}


def _sizes_seen(program: ExportedProgram) -> list[tuple[Any, ...]]:
    """The shape that each input has in a program, free axes as symbols."""
    placed = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values = [placed[name].meta["val"] for name in program.graph_signature.user_inputs]
    return [tuple(value.shape) for value in values]


def _refuse_fixed(program: ExportedProgram, call: Call, free: list[dict[int, str]]) -> None:
    """Refuses a program in which a batch or time axis has one size only."""
    for name, axes, shape in zip(call.tensors, free, _sizes_seen(program), strict=True):
        for axis, label in axes.items():
            if str(shape[axis]).isdigit():
                raise UnsupportedGraph(
                    f"expected the {label} axis of {name!r} to stay free, got one that is fixed at "
                    f"{shape[axis]} by forward: a Python loop over it, len() of it, or a "
                    f"comparison of its size with a number; write forward for one step "
                    f"(x_t, state), or use nn.LSTM, nn.GRU or nn.RNN over whole sequences"
                )


def _refuse_other_nodes(program: ExportedProgram, module: nn.Module, reading: Reading) -> None:
    """Refuses a program that has not one op for each layer of the modules that were used."""
    used = {use.path for use in reading.seen[0].uses}
    expected = sum(layers_in(module.get_submodule(path)) for path in used)
    found = sum(node.target in TRANSLATIONS for node in program.graph.nodes)
    if found != expected:
        raise UnsupportedGraph(
            f"expected {expected} recurrent layers in {', '.join(map(repr, sorted(used)))} to be "
            f"traced whole, got {found}: what a module answers must be used, and a class of your "
            f"own must call torch's forward through super()"
        )


def _finish(
    model: ir.Model,
    module: nn.Module,
    program: ExportedProgram,
    free: list[dict[int, str]],
    name: str,
) -> None:
    """Settles projections, names weights and axes, and forgets what tracing left behind."""
    graph = model.graph
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, "treadle", None
    graph.name = name
    settle_projections(graph)
    remove_unused(graph)
    ir.passes.common.ClearMetadataAndDocStringPass()(model)
    forget_tracing(graph)
    _name_axes(graph, program, free)
    _name_weights(graph, module)
    for value in list(graph.inputs):
        if not value.uses() and not value.is_graph_output():
            graph.inputs.remove(value)


def _name_weights(graph: ir.Graph, module: nn.Module) -> None:
    """Gives weights their path in the module, where no other value has that name."""
    root = "" if any(module.children()) else f"{type(module).__name__.lower()}."
    taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    taken |= {value.name for node in graph for value in node.outputs}
    for value in list(graph.initializers.values()):
        known = str(value.name)
        path = root + known.removeprefix(f"{_INSIDE}.")
        if known.startswith(f"{_INSIDE}.") and path not in taken:
            value.name = path


def _name_axes(graph: ir.Graph, program: ExportedProgram, free: list[dict[int, str]]) -> None:
    """Writes `batch` and `time` where torch wrote symbols of its own."""
    names = {
        str(shape[axis]): label
        for axes, shape in zip(free, _sizes_seen(program), strict=True)
        for axis, label in axes.items()
    }

    def named(size: Any) -> int | str:
        text = str(size)
        return names.get(text) or re.sub(r"[A-Za-z_]\w*", lambda m: names.get(m[0], m[0]), text)

    for value in (*graph.inputs, *(value for node in graph for value in node.outputs)):
        if value.shape is not None:
            sizes = [size if isinstance(size, int) else named(size) for size in value.shape]
            value.shape = ir.Shape(sizes)
