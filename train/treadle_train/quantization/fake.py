"""Training with weights as an export will round them.

Every forward pass, of training and of validation, sees rounded weights; the gradient that it gives
moves the weights behind them. That is the straight-through estimator: rounding counts as the
identity when it is differentiated (Bengio, Léonard & Courville, "Estimating or propagating
gradients through stochastic neurons for conditional computation", 2013; Jacob et al., "Quantization
and training of neural networks for efficient integer-arithmetic-only inference", 2018).

The rounded weights take the others' place in the parameters themselves until the gradient is known
(Courbariaux, Bengio & David, "BinaryConnect", 2015), so that torch's fused kernels see nothing
unusual and the optimizer moves what it always moves.
"""

import numpy as np
import torch
from torch import Tensor

from treadle_train.networks import Network
from treadle_train.quantization.blocks import BLOCKS, TABLE_LEVELS, BlockForm, search_scales
from treadle_train.quantization.forms import forms_of

SCALES = "scales/"
"""What the name of a parameter's scales begins with, among the weights of a run."""


class FakeQuantization:
    """The rounding of a network's weights for one of the 4-bit precisions.

    Block scales are searched when asked (`search`) and hold until the next search; a table's scales
    follow its rows at once. scales: parameter's name -> float32 [N, C], C blocks along K.
    """

    def __init__(self, network: Network, precision: str) -> None:
        self.network = network
        self.form = BLOCKS[precision]
        self.blocks, self.tables = forms_of(network, self.form.bits)
        self.scales: dict[str, Tensor] = {}
        self._behind: dict[str, Tensor] = {}

    def search(self) -> None:
        """Find the best scale of every block, as the export does for weights that are its own."""
        for name in self.blocks:
            weights = self._weights(name).numpy().T
            found = search_scales(weights, self.form)
            self.scales[name] = torch.from_numpy(np.ascontiguousarray(found.T))

    def restore(self, scales: dict[str, Tensor]) -> None:
        """Go on with scales that a checkpoint kept."""
        self.scales = dict(scales)

    def rounded(self) -> dict[str, Tensor]:
        """What a forward pass sees in place of each rounded parameter, by its name."""
        seen = {name: rounded_rows(self._weights(name)) for name in self.tables}
        for name in self.blocks:
            seen[name] = rounded_blocks(self._weights(name), self.scales[name], self.form)
        return seen

    def put(self) -> None:
        """Put the rounded weights into the network."""
        for name, weights in self.rounded().items():
            parameter = self.network.get_parameter(name)
            self._behind.setdefault(name, parameter.data)
            parameter.data = weights

    def take_back(self) -> None:
        """Put the weights behind the rounded ones back, gradients as they are."""
        for name, weights in self._behind.items():
            self.network.get_parameter(name).data = weights
        self._behind = {}

    def _weights(self, name: str) -> Tensor:
        """A parameter as the optimizer has it."""
        return self._behind.get(name, self.network.get_parameter(name).detach())


def rounded_blocks(weights: Tensor, scales: Tensor, form: BlockForm) -> Tensor:
    """Weights float32 [N, K] as their levels times the scales [N, C] of their blocks along K.

    In float64, as `blocks.nearest_levels`, so that both find the same level also beside a tie.
    """
    spread = scales.repeat_interleave(form.block_size, dim=1)[:, : weights.shape[1]]
    half = 2 ** (form.bits - 1)
    levels = (weights.double() / spread.double()).round_().clamp_(-half, half - 1)
    return levels.float() * spread


def rounded_rows(table: Tensor) -> Tensor:
    """A table float32 [V, E] as integers of 8 bits times one scale a row."""
    scale = table.abs().amax(dim=1, keepdim=True) / TABLE_LEVELS
    scale[scale == 0] = 1
    return (table / scale).round_().clamp_(-TABLE_LEVELS, TABLE_LEVELS) * scale
