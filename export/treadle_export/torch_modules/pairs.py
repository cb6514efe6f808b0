"""States that a module takes and gives back beside those of its recurrent layers, such as caches.

Shapes and names suggest them; where the module reads sequences it is asked: a sequence in two
halves, the states carried between, must give what it gives at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from treadle.ladder import compare
from treadle_export.adoption.pairs import find_pairs
from treadle_export.engine import Arrays
from treadle_export.foreign import StatePair
from treadle_export.torch_modules.axes import Reading
from treadle_export.torch_modules.named_tensors import Call
from treadle_export.torch_modules.ports import Ports

_SEED = 7

Run = Callable[[Arrays], Arrays]


def other_pairs(
    graph: ir.Graph, ports: Ports, call: Call, reading: Reading, run: Run
) -> tuple[StatePair, ...]:
    """Pairs of inputs and outputs that are states of something else than a recurrent layer.

    Args:
        graph: the traced graph; an output named `next_X` had the name of the input X.
        ports: what its recurrent layers are fed.
        call: how the module is called.
        reading: the axes of its inputs.
        run: the module by names, what is left out at zero.
    """
    known = (*ports.pairs, *ports.carried)
    taken = {pair.input for pair in known} | ports.states | {ports.lengths}
    given = {pair.output for pair in known}
    inputs = [value for value in graph.inputs if value.name not in taken]
    outputs = [value for value in graph.outputs if value.name not in given]
    if len(inputs) < 2:
        return ()
    found = [
        pair for pair in find_pairs(inputs, outputs)[0] if reading.axes[pair.input].time is None
    ]
    if not found or reading.base is None:
        return tuple(found)
    states = [*known, *found]
    if ports.states <= {pair.input for pair in states} and _carries(states, call, reading, run):
        return tuple(found)
    return tuple(pair for pair in found if pair.output == f"next_{pair.input}")


def _carries(states: Sequence[StatePair], call: Call, reading: Reading, run: Run) -> bool:
    """Whether two halves of a sequence, these states carried, answer as the whole of it.

    Where lengths are counted it cannot be told: a half has others.
    """
    if any(axes.counts for axes in reading.axes.values()):
        return False
    names = {pair.input for pair in states}
    whole = {n: array for n, array in probing(call, reading).items() if n not in names}
    cuts = {name: reading.axes[name].time for name in whole}
    halves: list[Arrays] = [{}, {}]
    for name, array in whole.items():
        cut = cuts[name]
        parts = [array, array] if cut is None else np.split(array, 2, axis=cut)
        for half, part in zip(halves, parts, strict=True):
            half[name] = part
    expected, first = run(whole), run(halves[0])
    carried = {pair.input: first[pair.output] for pair in states if pair.output in first}
    second = run({**halves[1], **carried})
    return all(_is_tail(expected[name], second[name]) for name in expected)


def _is_tail(whole: NDArray[Any], half: NDArray[Any]) -> bool:
    """Whether `half` is the end of `whole` along the axis in which they differ, or all of it."""
    longer = [axis for axis, size in enumerate(half.shape) if whole.shape[axis] != size]
    if len(longer) > 1:
        return False
    for axis in longer:
        whole = whole.take(range(whole.shape[axis] - half.shape[axis], whole.shape[axis]), axis)
    return compare("chunk", "float32", outputs=[(whole[None], half[None])]).passed


def probing(call: Call, reading: Reading) -> Arrays:
    """The example at the larger of the two sizes; noise where it has one value only."""
    random = torch.Generator().manual_seed(_SEED)
    arrays: Arrays = {}
    for name, tensor in reading.example(call, 1).items():
        flat = tensor.is_floating_point() and tensor.numel() and tensor.min() == tensor.max()
        noise = torch.randn(tensor.shape, generator=random) if flat else tensor
        arrays[name] = noise.numpy()
    return arrays
