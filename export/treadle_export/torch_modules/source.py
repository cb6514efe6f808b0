"""A torch module with recurrent layers as a foreign model: its graph, its example, its origin."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn

from treadle.errors import UnsupportedGraph
from treadle.ladder import compare
from treadle_export.engine import Engine
from treadle_export.foreign import Foreign
from treadle_export.torch_modules.axes import Reading, read_axes
from treadle_export.torch_modules.calls import first_line
from treadle_export.torch_modules.named_tensors import Call
from treadle_export.torch_modules.opaque import recurrent_modules
from treadle_export.torch_modules.origin import Origin
from treadle_export.torch_modules.pairs import other_pairs, probing
from treadle_export.torch_modules.ports import ports_of
from treadle_export.torch_modules.tracing import trace

Example = torch.Tensor | tuple[Any, ...] | Mapping[str, Any]


def foreign_of(
    module: nn.Module,
    example_inputs: Example,
    *,
    name: str | None = None,
    axes: Mapping[str, Sequence[str | None]] | None = None,
    lengths: str | None = None,
) -> Foreign:
    """Traces a module that contains recurrent modules of torch.

    Every nn.RNN, nn.LSTM, nn.GRU and their cells become ONNX nodes, one a layer with both its
    directions; packed sequences become true lengths. The module is copied, set to evaluation mode
    and float32; it is left as it was.

    Args:
        module: its `forward` takes tensors, tuples and dicts of them, lists of lengths, and
            constants; it returns tensors, tuples, dicts, NamedTuples or dataclasses of them.
        example_inputs: what `forward` takes: a tensor, a tuple in the order of its parameters, or a
            dict by their names. One row and one step are enough.
        name: of the model; by default the class's.
        axes: input -> the names of its axes in order, "batch", "time" or None for others. By
            default the module itself is asked, by calling it at other sizes.
        lengths: the input that holds the number of steps of each row [batch]; by default the one
            that `pack_padded_sequence` is given.

    Returns:
        the foreign model. Inputs are named after forward's parameters, a second tensor in one of
        them `name_1`; outputs after keys or fields, else `output`, `output_1`; an output with the
        name of an input is a state, `next_…`. `run` takes states as zeros where they are left out.
        Packed sequences come out as long as they went in, zero where padded. The hidden state of
        a projected LSTM (`proj_size`) is the one before its projection.

    Raises:
        UnsupportedGraph: there is no recurrent module, or the module cannot be traced for every
            batch and number of steps; the message says why and what to do.
    """
    origin = _copied(module)
    _refuse_other(origin)
    call = Call(origin, example_inputs)
    _refuse_unknown(call, axes or {}, lengths)
    reading = read_axes(origin, call, axes or {}, lengths)
    name = name or _dashed(type(module).__name__)
    renamed = _output_names(reading, call)
    model = trace(origin, call, reading, name, list(renamed.values()))
    ports = ports_of(model.graph)
    inputs, outputs = _names(model.graph.inputs), _names(model.graph.outputs)
    # An input that the trace has no use for is a state too, unless it counts something.
    unused = {n for n, t in call.tensors.items() if n not in inputs and t.is_floating_point()}
    run = Origin(
        origin,
        call,
        reading,
        zeros=ports.states | {pair.input for pair in ports.pairs} | unused,
        lengths=lengths or ports.lengths,
        outputs={own: here for own, here in renamed.items() if here in outputs},
    )
    others = other_pairs(model.graph, ports, call, reading, run)
    pairs = (*ports.carried, *ports.pairs, *others)
    run.zeros |= {pair.input for pair in pairs}
    example = reading.example(call).items()
    foreign = Foreign(
        name=name,
        model=model,
        example={n: t.numpy() for n, t in example if n in inputs and n not in run.zeros},
        run=run,
        lengths=lengths or ports.lengths,
        states=pairs,
        own_example=True,
        provenance={"origin": "torch", "torch": torch.__version__, "module": _qualified(module)},
    )
    _refuse_other_answers(foreign, call, reading)
    return foreign


def _copied(module: nn.Module) -> nn.Module:
    """A copy to work on: evaluation mode, float32, on the CPU."""
    try:
        copied = copy.deepcopy(module)
    except Exception as error:
        raise UnsupportedGraph(
            f"expected a module that can be copied, got from {type(module).__name__}: "
            f"{first_line(error)}; build it in the factory and load its weights there"
        ) from error
    return copied.eval().cpu().float().requires_grad_(False)


def _refuse_other(module: nn.Module) -> None:
    if not any(True for _ in recurrent_modules(module)):
        kinds = sorted({type(part).__name__ for part in module.modules()} - {type(module).__name__})
        raise UnsupportedGraph(
            f"expected a module that contains nn.RNN, nn.LSTM, nn.GRU or one of their cells, got "
            f"{type(module).__name__} of {', '.join(kinds[:8]) or 'no modules'}; a recurrence of "
            f"your own can be adopted as an ONNX file"
        )


def _refuse_unknown(
    call: Call, axes: Mapping[str, Sequence[str | None]], lengths: str | None
) -> None:
    """Refuses names that are no input, and axes that are neither batch nor time."""
    known = {*call.tensors, *call.parameters.values()}
    unknown = [name for name in axes if name not in known]
    if lengths is not None and lengths not in call.tensors:
        unknown.append(lengths)
    if unknown:
        raise UnsupportedGraph(
            f"expected names of inputs ({', '.join(call.tensors)}), got {', '.join(unknown)}"
        )
    for name, labels in axes.items():
        others = [label for label in labels if label not in ("batch", "time", None)]
        own = [t.dim() for n, t in call.tensors.items() if name in (n, call.parameters[n])]
        if others or any(len(labels) > rank for rank in own) or "batch" not in labels:
            raise UnsupportedGraph(
                f'expected the axes of {name!r} as "batch", "time" or None in order, a batch among '
                f"them and no more than it has ({min(own)}), got {tuple(labels)}"
            )


def _output_names(reading: Reading, call: Call) -> dict[str, str]:
    """The module's name of each output -> its name in the graph."""
    names: dict[str, str] = {}
    for own in reading.seen[0].outputs:
        here = own
        while here in call.tensors or here in names.values():
            here = f"next_{here}"
        names[own] = here
    return names


def _names(values: Iterable[ir.Value]) -> set[str]:
    return {str(value.name) for value in values}


def _refuse_other_answers(foreign: Foreign, call: Call, reading: Reading) -> None:
    """Refuses a graph that answers otherwise than its module at another batch and time."""
    tensors = probing(call, reading)
    given = {name: tensors[name] for name in foreign.example}
    start = {
        str(value.name): np.zeros_like(tensors[str(value.name)])
        for value in foreign.model.graph.inputs
        if value.name not in given
    }
    expected, answered = foreign.run(given), Engine(foreign.model).run({**start, **given})
    for name, array in answered.items():
        if not _equal(expected[name], array):
            raise UnsupportedGraph(
                f"expected the traced graph to answer as {foreign.name} at "
                f"{reading.sizes[1][0]} rows, got another {name!r} "
                f"({list(array.shape)} for {list(expected[name].shape)}): forward does something "
                f"that depends on sizes or values of its example, or draws at random; keep Python "
                f"numbers made from sizes or values out of it"
            )


def _equal(expected: NDArray[Any], actual: NDArray[Any]) -> bool:
    pair = expected[None], actual[None]
    same_shape = expected.shape == actual.shape
    return same_shape and compare("onnx sequence", "float32", outputs=[pair]).passed


def _dashed(name: str) -> str:
    """`KeywordSpotter` as keyword-spotter."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _qualified(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"
