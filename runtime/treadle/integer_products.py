"""Whether this processor multiplies integers without saturating, tried before a model is run.

x86 processors without VNNI add pairs of 8-bit products in 16 bits (the instruction `vpmaddubsw`),
which is too few for unsigned by signed operands of full range: their answers are wrong, and nobody
is told. Graphs of Treadle keep their weights within [-63, 63], whose pairs fit; bundles may be from
elsewhere, and kernels change. So tiny products of extreme operands are held against numpy's.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import DeviceError
from treadle.probe_graph import block_product, integer_product
from treadle.session import THIS_PROCESSOR, engine_errors, load_engine, session_options
from treadle.vnni import VNNI

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.arrays import Array

_ROWS, _COLUMNS = 5, 35  # of a product: more than one row, and columns that no vector fills
_ZERO = 128


@dataclass(frozen=True, slots=True)
class Product:
    """A kind of product in integers.

    operator: "MatMulNBits", or one that multiplies whole matrices, as MatMulInteger does; all of
        these share one kernel, which is tried by the latter.
    activations, weights: dtypes, "int8" or "uint8". largest: of the weights in magnitude.
    bits, block_size: of MatMulNBits, else 0.
    """

    operator: str
    activations: str = "uint8"
    weights: str = "int8"
    largest: int = 127
    bits: int = 0
    block_size: int = 0

    def __str__(self) -> str:
        if self.bits:
            return f"{self.operator} ({self.bits} bits, blocks of {self.block_size})"
        return f"{self.operator} ({self.activations} by {self.weights} up to {self.largest})"


_exact: set[Product] = set()
_trying = threading.Lock()


def check_products(products: Iterable[Product]) -> None:
    """Raise DeviceError unless each is exact here. Each is tried once a process."""
    with _trying:
        for product in sorted(set(products) - _exact, key=str):
            if not is_exact(product):
                raise DeviceError(
                    f"expected exact products of {product}, but on this processor they saturate, "
                    f"as it seems to lack VNNI ({' or '.join(VNNI)}); export the model in another "
                    "precision, such as float32, or with weights within [-63, 63], as "
                    "`treadle export --precision int8` does"
                )
            _exact.add(product)


def is_exact(product: Product) -> bool:
    """Whether the engine gives numpy's integers for the most extreme operands, on one row too."""
    make = _blocks if product.bits else _whole
    content, a, feeds, expected = make(product)
    # Blocks are summed in float32; one pair that saturates moves a sum by percents.
    allowed = np.abs(expected).max() / 1000 if product.bits else 0
    engine = load_engine()
    try:
        session = engine.InferenceSession(
            content,
            session_options(engine, THIS_PROCESSOR),
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )
        return all(
            np.abs(made - expected[:rows]).max() <= allowed
            for rows in (1, _ROWS)
            for made in session.run(None, {"a": a[:rows], **feeds})
        )
    except engine_errors():
        return True  # An engine without the operator says so when it opens the model itself.


def _whole(product: Product) -> tuple[bytes, Array, dict[str, Array], Array]:
    """The graph, its `a` and other inputs, and what it should give."""
    random, inner = np.random.default_rng(0), 70
    a = _extremes(random, (_ROWS, inner), product.activations, 128)
    weights = _extremes(random, (inner, _COLUMNS), product.weights, product.largest)
    zero = np.array(_ZERO if product.activations == "uint8" else 0, product.activations)
    expected = (a.astype(np.int32) - zero.astype(np.int32)) @ weights.astype(np.int32)
    return integer_product(weights, zero), a, {"b": weights}, expected


def _extremes(
    random: np.random.Generator, shape: tuple[int, int], dtype: str, largest: int
) -> Array:
    """Values at both ends: the first row and column all at the upper one, the others mixed."""
    low, high = (0, 255) if dtype == "uint8" else (-largest, min(largest, 127))
    chosen = random.integers(0, 2, shape)
    chosen[0] = chosen[:, 0] = 1
    return np.where(chosen, high, low).astype(dtype)


def _blocks(product: Product) -> tuple[bytes, Array, dict[str, Array], Array]:
    """As `_whole`. Activations of ±127 have a scale of 1 in every block, so that sums are whole."""
    random, inner = np.random.default_rng(0), 2 * product.block_size
    a = _extremes(random, (_ROWS, inner), "int8", 127).astype(np.float32)
    largest, zero = 2 ** (product.bits - 1) - 1, 2 ** (product.bits - 1)
    weights = _extremes(random, (_COLUMNS, inner), "int8", largest)
    levels = (weights.astype(np.int32) + zero).astype(np.uint8)
    if product.bits == 4:
        levels = levels[:, 0::2] | levels[:, 1::2] << 4
    packed = levels.reshape(_COLUMNS, 2, -1)
    content = block_product(packed, inner, product.bits, product.block_size)
    return content, a, {}, a @ weights.T.astype(np.float32)
