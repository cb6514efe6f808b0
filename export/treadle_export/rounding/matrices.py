"""Rounds each matrix of a model once, whichever graphs it stands in."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from treadle.errors import ExportError
from treadle.manifest import sha256
from treadle_export.rounding.blocks import BlockWeights
from treadle_export.rounding.gptq import round_compensated, round_to_nearest
from treadle_export.rounding.learned_blocks import LearnedBlocks
from treadle_train.quantization.blocks import BlockForm

COMPENSATED_BITS = 4
"""Up to here rounding is worth compensating; 8 bits lose nothing that could be seen."""


class Rounding:
    """Weights by name and form, rounded with the inputs that a calibration saw, or without.

    grams: product's name -> X^T X of its inputs [K, K]; None where nothing was measured.
    learned: the blocks of a fine-tuned network, for the precision that it was fine-tuned for.
    """

    def __init__(
        self,
        grams: Mapping[str, NDArray[np.float64]] | None = None,
        learned: LearnedBlocks | None = None,
    ) -> None:
        self._grams = grams
        self._learned = learned
        self._known: dict[tuple[str, BlockForm, str], BlockWeights] = {}

    def __call__(self, name: str, weights: NDArray[np.float32], form: BlockForm) -> BlockWeights:
        """The weights [K, N] in blocks. Raises ExportError where no input was measured."""
        key = (name, form, sha256(weights.tobytes()))
        if key not in self._known:
            self._known[key] = self._rounded(name, weights, form)
        return self._known[key]

    def _rounded(self, name: str, weights: NDArray[np.float32], form: BlockForm) -> BlockWeights:
        if self._learned is not None and self._learned.form == form:
            return self._learned(name, weights)
        if self._grams is None or form.bits > COMPENSATED_BITS:
            return round_to_nearest(weights, form)
        if name not in self._grams:
            raise ExportError(
                f"expected the calibration to meet every product, got no inputs for {name!r} "
                f"(of {', '.join(sorted(self._grams))}); export with --calibration none"
            )
        return round_compensated(weights, self._grams[name], form)
