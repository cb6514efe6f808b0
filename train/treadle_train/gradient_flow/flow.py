"""The gradient of a loss with respect to every state on its way back in time, and what it means.

Bengio, Simard & Frasconi, "Learning long-term dependencies with gradient descent is difficult",
1994; Hochreiter & Schmidhuber, "Long short-term memory", 1997; Pascanu, Mikolov & Bengio, "On the
difficulty of training recurrent neural networks", 2013. Notation: B batch, H hidden size.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from treadle_train.gradient_flow.watching import watch
from treadle_train.networks import Network

VANISHED = 1e-3
"""Less than this share of a gradient, and it is said to vanish."""
EXPLODED = 100.0
"""More than this many times a gradient, and it is said to explode."""
REACHED = 0.01
"""The share of a gradient that counts as reaching a step."""


@dataclass(frozen=True)
class Flow:
    """Norms of d loss / d state of one layer, one direction: norms[k] is k steps back.

    The state is all that the layer carries, so an LSTM's cell state, too; a norm is the mean over
    rows. A direction that reads backwards has its own last step at the sequence's start.
    """

    layer: str
    norms: tuple[float, ...]

    @property
    def left(self) -> tuple[float, ...]:
        """Each norm as a share of the one 0 steps back; zeros where that is zero."""
        first = self.norms[0]
        return tuple(norm / first if first else 0.0 for norm in self.norms)

    @property
    def reach(self) -> int:
        """The farthest step back that at least REACHED of the gradient gets to."""
        return max((k for k, share in enumerate(self.left) if share >= REACHED), default=0)

    @property
    def verdict(self) -> str:
        """In words: whether it vanishes, explodes or carries."""
        steps, left = len(self.norms) - 1, self.left
        if not self.norms[0]:
            return "nothing arrives: the loss does not depend on this layer"
        peak = max(range(len(left)), key=left.__getitem__)
        if left[peak] > EXPLODED:
            return f"explodes: after {peak} steps it is {left[peak]:.2g} times as large"
        word = "vanishes" if left[-1] < VANISHED else "carries"
        return f"{word}: after {steps} steps {left[-1]:.2g} of it is left"


def gradient_flow(network: Network, loss_of: Callable[[Network], Tensor]) -> list[Flow]:
    """How the gradient of a loss goes back through every recurrent layer of `network`.

    loss_of: the loss float32 [B] of each row at its last step, made by a network's `sequence` or
    `encode` over rows of one length. `network` is left as it was; nothing is dropped.
    """
    watched = copy.deepcopy(network).eval()
    layers = watch(watched)
    with torch.enable_grad():
        loss = loss_of(watched).sum()
    ways = {
        f"{name}.{direction}".rstrip("."): steps
        for name, layer in layers.items()
        for direction, steps in layer.states.items()
    }
    every = [part for steps in ways.values() for state in steps for part in state]
    found = iter(torch.autograd.grad(loss, every, allow_unused=True))
    flows = []
    for name, steps in ways.items():
        norms = [_norm([next(found) for _ in state]) for state in steps]
        flows.append(Flow(name, tuple(reversed(norms))))
    return flows


def _norm(gradients: list[Tensor | None]) -> float:
    """The mean over rows of the norm of the gradients [B, H] of all parts of one state."""
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return 0.0
    return float(torch.cat(present, dim=1).double().norm(dim=1).mean())
