"""A network of arrays as a foreign model: its graph, and the equations it is held against."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.arrays.graph import build
from treadle_export.arrays.layers import (
    BidirectionalArrays,
    EmbeddingArrays,
    Layer,
    RecurrentArrays,
)
from treadle_export.arrays.ports import LENGTHS, OUTPUT
from treadle_export.arrays.ragged import run_by_length
from treadle_export.arrays.reference import evaluate
from treadle_export.engine import Arrays
from treadle_export.foreign import Foreign

_BATCH, _TIME = 3, 6  # of the example


def from_arrays(layers: Sequence[Layer], *, name: str = "network") -> Foreign:
    """Builds a network from plain numpy arrays, layer after layer.

    Args:
        layers: an embedding may stand first; at least one layer is recurrent. `layers.py` says
            which shapes the arrays of each order have. Layers without a name are called
            "embedding", "recurrent.0", "recurrent.1", "dense.0" and so on; states are named
            after the layers.
        name: of the model.

    Returns:
        a model with the inputs `token` int64 [batch, time] behind an embedding, else `x` float32
        [batch, time, I], and `lengths` int64 [batch]; its output is `output` float32
        [batch, time, O], or [batch, O] where a layer keeps only the state at each row's length.
        `run` evaluates the textbook's equations in float64; its outputs are zero where padded,
        those of the graph not specified there.

    Raises:
        InputError: an array has another shape, dtype or value than its layer asks for, a name is
            unknown or used twice, or there is no recurrent layer.
    """
    named = _named(layers)

    def run(x: NDArray[Any]) -> NDArray[Any]:
        return evaluate(tuple(named.values()), x)

    return foreign_of(build(named, name), named, run, {"origin": "numpy arrays"})


def foreign_of(
    model: ir.Model,
    layers: Mapping[str, Layer],
    run: Callable[[NDArray[Any]], NDArray[Any]],
    provenance: Mapping[str, str],
) -> Foreign:
    """The foreign model of a built graph, with an example whose rows have unequal lengths.

    Args:
        model: what `build` made of `layers`.
        layers: by name, in order.
        run: the origin, for rows of one length: [B, T, …] -> [B, T, O] or [B, O].
        provenance: where the network comes from.
    """
    x, first = model.graph.inputs[0], next(iter(layers.values()))
    ids = len(first.table) if isinstance(first, EmbeddingArrays) else None

    def origin(feeds: Arrays) -> Arrays:
        given = checked(feeds, str(x.name), ids)
        lengths = feeds.get(LENGTHS, np.full(len(given), given.shape[1]))
        return {OUTPUT: run_by_length(run, given, lengths)}

    return Foreign(
        name=str(model.graph.name),
        model=model,
        example={str(x.name): _example(x, ids), LENGTHS: np.arange(_TIME, _TIME - _BATCH, -1)},
        run=origin,
        lengths=LENGTHS,
        provenance=provenance,
    )


def checked(feeds: Arrays, name: str, ids: int | None) -> NDArray[Any]:
    """The input of a run: features [B, T, I], or ids [B, T] below `ids`.

    Raises:
        InputError: it is missing, or has another rank or an id out of range.
    """
    rank = 2 if ids is not None else 3
    given = feeds.get(name)
    if given is None or given.ndim != rank:
        got = "none" if given is None else f"the shape {list(given.shape)}"
        raise InputError(f"expected an input {name!r} of {rank} axes, got {got}")
    if ids is not None and given.size and not (given.min() >= 0 and given.max() < ids):
        raise InputError(
            f"expected ids from 0 to {ids - 1}, got {given.min()} to {given.max()}; "
            f"encode the text with the vocabulary that the model was trained with"
        )
    return given


def _example(x: ir.Value, ids: int | None) -> NDArray[Any]:
    random = np.random.default_rng(0)
    if ids is not None:
        # Id 0 is padding to many origins: they skip it, and an example of it would show nothing.
        return random.integers(min(1, ids - 1), ids, (_BATCH, _TIME))
    width = ir.Shape([]) if x.shape is None else x.shape
    return random.normal(size=(_BATCH, _TIME, int(str(width[2])))).astype(np.float32)


def _kind(layer: Layer) -> str:
    """What a layer without a name is called."""
    if isinstance(layer, RecurrentArrays | BidirectionalArrays):
        return "recurrent"
    return type(layer).__name__.removesuffix("Arrays").lower()


def _named(layers: Sequence[Layer]) -> dict[str, Layer]:
    """The layers under their names; an embedding is "embedding", as there is only one."""
    named: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        kind = _kind(layer)
        counts[kind] = counts.get(kind, -1) + 1
        name = layer.name or (kind if kind == "embedding" else f"{kind}.{counts[kind]}")
        if name in named:
            raise InputError(f"expected layers of different names, got {name!r} twice")
        named[name] = layer
    return named
