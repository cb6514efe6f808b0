"""Blocks whose scales a network was trained with, in place of blocks found for weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import ExportError
from treadle_export.rounding.blocks import BlockWeights
from treadle_export.rounding.gptq import round_with_scales
from treadle_train.quantization.blocks import BLOCKS
from treadle_train.run import FineTuned, Run


class LearnedBlocks:
    """Weights of a fine-tuned run, which are levels times scales already, in blocks.

    A column of weights is known by its content, because on its way to a product a matrix is
    transposed, and its gates are reordered or split; what a column holds stays as it is.
    """

    def __init__(self, run: Run, fine_tuned: FineTuned) -> None:
        self.precision = fine_tuned.precision
        self.form = BLOCKS[self.precision]
        self._scales: dict[bytes, NDArray[np.float32]] = {}
        for name, scales in fine_tuned.scales.items():
            weights = run.network.get_parameter(name).detach().numpy()
            for column, its in zip(weights, scales.numpy(), strict=True):
                self._scales[column.tobytes()] = its
        self.evidence: dict[str, Any] = {
            "metric": fine_tuned.metric,
            "split": "validation",
            "float32": fine_tuned.float32,
            self.precision: fine_tuned.rounded,
        }

    def __call__(self, name: str, weights: NDArray[np.float32]) -> BlockWeights:
        """The weights [K, N] in the blocks that training saw.

        Raises:
            ExportError: training did not round these weights.
        """
        columns = np.ascontiguousarray(weights.T)
        found = [self._scales.get(column.tobytes()) for column in columns]
        known = [scales for scales in found if scales is not None]
        if len(known) < len(found):
            raise ExportError(
                f"expected weights {name!r} that were fine-tuned for {self.precision}, got others "
                f"in {len(found) - len(known)} of {len(found)} columns; fine-tune the run again "
                "with this version"
            )
        if len(known[0]) != -(-len(weights) // self.form.block_size):
            raise ExportError(
                f"expected one scale for {self.form.block_size} of the {len(weights)} inputs of "
                f"{name!r}, got {len(known[0])}; fine-tune the run again with this version"
            )
        return round_with_scales(weights, np.ascontiguousarray(np.stack(known, axis=1)), self.form)


def learned_blocks(run: Run) -> LearnedBlocks | None:
    """The blocks that a run was fine-tuned with; None where it was not."""
    return None if run.fine_tuned is None else LearnedBlocks(run, run.fine_tuned)
