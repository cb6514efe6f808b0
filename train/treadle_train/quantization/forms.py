"""Which parameters of a network a 4-bit export keeps in blocks, and which as tables of 8 bits.

The export decides by the graph (`treadle_export.quantization.precision`); this says the same by the
network, and a test holds the two together.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from treadle_train.cells.cell import Cell
from treadle_train.networks import Network
from treadle_train.networks.attention import AdditiveAttention
from treadle_train.networks.pooling import AttentionPooling
from treadle_train.quantization.blocks import folds


class Forms(NamedTuple):
    """Names of parameters; every other one stays a float."""

    blocks: tuple[str, ...]  # [N, K]: rows of integers of few bits, in blocks along K
    tables: tuple[str, ...]  # [V, E]: embeddings, 8 bits with a scale a row


def forms_of(network: Network, bits: int) -> Forms:
    """What becomes of each matrix of `network` where weights have `bits` bits.

    An embedding that is folded with the weights that read it stays a float, and so do these: the
    table of their products has 16 bits.
    """
    floats = set(_folded(network, bits))
    modules = dict(network.named_modules())
    # What scores a step of attention is a vector, which products do not have in blocks.
    floats |= {f"{n}.energy.weight" for n, m in modules.items() if isinstance(m, AdditiveAttention)}
    floats |= {f"{n}.query.weight" for n, m in modules.items() if isinstance(m, AttentionPooling)}
    blocks = {matrix for name, module in modules.items() for matrix in _matrices(name, module)}
    tables = {f"{name}.weight" for name, m in modules.items() if isinstance(m, nn.Embedding)}
    return Forms(tuple(sorted(blocks - floats)), tuple(sorted(tables - floats)))


def _matrices(name: str, module: nn.Module) -> Iterator[str]:
    """Parameters of a module that are multiplied with."""
    if isinstance(module, Cell):
        yield from (f"{name}.input_weights", f"{name}.recurrent_weights")
    elif isinstance(module, nn.Linear):
        yield f"{name}.weight"


def _folded(network: Network, bits: int) -> Iterator[str]:
    for embedding, stack in network.embedding_readers().items():
        table = network.get_parameter(f"{embedding}.weight")
        if folds(table.shape[0], table.shape[1], bits):
            yield f"{embedding}.weight"
            first = network.get_submodule(f"{stack}.layers.0")
            for name, module in first.named_children():
                if isinstance(module, Cell):
                    yield f"{stack}.layers.0.{name}.input_weights"
