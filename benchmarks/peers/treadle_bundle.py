"""A bundle of a workload's weights: they are put into the product's own networks.

The networks fold what the others leave unfolded (`ARCHITECTURE.md`): an embedding that is small
into its first product, the context's half of a decoder's mix into the encoder. Without evidence,
since there is no data that it could be about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.capturing.network import capture
from treadle_export.passes.screen_head import Screen
from treadle_export.quantization.precision import lower, plan_of, precision_named
from treadle_train.cells.cell import Cell
from treadle_train.cells.stack import Stack
from treadle_train.networks import LanguageModel, Network, Tagger, Transducer

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.workloads import Weights, Workload

HEAD = "output"
PARAMETERS = {
    "weight_ih": "input_weights",
    "weight_hh": "recurrent_weights",
    "bias_ih": "input_bias",
    "bias_hh": "recurrent_bias",
}
"""PyTorch's names of a cell's weights, and the product's."""


def write(
    workload: Workload,
    cell: str,
    weights: Weights,
    precision: str,
    path: Path,
    *,
    candidates: int | None = None,
) -> None:
    """Write the bundle; with `candidates` its head is screened."""
    model, chosen = capture(network_of(workload, cell, weights)), precision_named(precision)
    screen = None if candidates is None else Screen(HEAD, candidates, "int8")
    lowered = lower(model, chosen, screen=screen)
    parts = assemble(lowered, described(workload), precision, plan_of(model, chosen))
    write_bundle(path, finished(parts, {}))


def network_of(workload: Workload, cell: str, weights: Weights) -> Network:
    """The product's network for the workload, with these weights."""
    sizes = (workload.embedding, workload.hidden, workload.layers)
    if workload.kind == "step":
        model = LanguageModel(workload.vocabulary, *sizes, cell)
        network: Network = model
        _set_linear(model.embedding, weights, "embedding")
        _set_stack(model.recurrent, weights, "recurrent")
    elif workload.kind == "tagger":
        both = 2 * workload.hidden
        tagger = Tagger(
            *(workload.vocabulary, workload.outputs, workload.embedding, both),
            cell=cell,
            bidirectional=True,
        )
        network = tagger
        _set_linear(tagger.embedding, weights, "embedding")
        _set_stack(tagger.get_submodule("recurrent"), weights, "recurrent")
    else:
        network = _transducer(workload, cell, weights)
    _set_linear(network.get_submodule(HEAD), weights, HEAD)
    return network.eval()


def _transducer(workload: Workload, cell: str, weights: Weights) -> Transducer:
    size = workload.vocabulary
    network = Transducer(size, size, workload.embedding, workload.hidden, 1, 1, cell, "dot")
    _set_linear(network.source_embedding, weights, "encoder.embedding")
    _set_linear(network.target_embedding, weights, "embedding")
    _set_stack(network.encoder, weights, "encoder.recurrent")
    _set_stack(network.decoder, weights, "recurrent")
    context, query = weights["mix.weight"][:, : workload.hidden], weights["mix.weight"]
    with torch.no_grad():
        network.get_parameter("attention.values.weight").copy_(_tensor(context))
        network.get_parameter("attention.mix.weight").copy_(_tensor(query[:, workload.hidden :]))
        network.get_parameter("attention.mix.bias").copy_(_tensor(weights["mix.bias"]))
    return network


def _set_linear(module: nn.Module, weights: Weights, name: str) -> None:
    """An embedding or a linear layer."""
    with torch.no_grad():
        for parameter, values in module.named_parameters():
            values.copy_(_tensor(weights[f"{name}.{parameter}"]))


def _set_stack(stack: nn.Module, weights: Weights, name: str) -> None:
    """Every cell of recurrent layers; those that read backwards are PyTorch's `_reverse`."""
    if not isinstance(stack, Stack):
        raise TypeError(f"expected recurrent layers, got {type(stack).__name__}")
    for index, layer in enumerate(stack.layers):
        for cell, end in (("forward_cell", ""), ("reverse_cell", "_reverse")):
            module = getattr(layer, cell)
            if isinstance(module, Cell):
                with torch.no_grad():
                    for theirs, ours in PARAMETERS.items():
                        values = weights[f"{name}.{theirs}_l{index}{end}"]
                        module.get_parameter(ours).copy_(_tensor(values))


def _tensor(array: object) -> Tensor:
    tensor: Tensor = torch.as_tensor(array)
    return tensor


def described(workload: Workload) -> Description:
    """Vocabularies of numbers: what symbols mean does not matter here."""
    name, symbols = f"peers-{workload.name}", _numbers(workload.vocabulary)
    if workload.kind == "step":
        return Description(name, {"symbols": symbols}, {"start": 1}, {}, {}, {})
    if workload.kind == "tagger":
        tags = Vocabulary([f"tag-{index}" for index in range(workload.outputs)], "symbols")
        return Description(name, {"input": symbols, "tags": tags}, {}, {}, {}, {})
    target = Vocabulary(list(map(str, range(workload.outputs))), "symbols", start=1, end=2)
    decoding = {"start": 1, "end": 2, "max_length": 40}
    padded = Vocabulary(
        ["<padding>", *map(str, range(1, workload.vocabulary))], "symbols", padding=0
    )
    return Description(name, {"input": padded, "output": target}, decoding, {}, {}, {})


def _numbers(size: int) -> Vocabulary:
    return Vocabulary(["<unknown>", *map(str, range(1, size))], "symbols", unknown=0)
