"""Networks from plain numpy arrays: describe each layer, get a model that can be adopted."""

from treadle_export.arrays.layers import (
    ActivationArrays,
    BidirectionalArrays,
    DenseArrays,
    EmbeddingArrays,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
)
from treadle_export.arrays.network import from_arrays

__all__ = [
    "ActivationArrays",
    "BidirectionalArrays",
    "DenseArrays",
    "EmbeddingArrays",
    "Layer",
    "NormalizationArrays",
    "RecurrentArrays",
    "ScaleArrays",
    "from_arrays",
]
