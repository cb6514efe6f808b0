"""The loss of a network that learns to answer as another one does.

Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015, at temperature 1. A
network that is fine-tuned for rounded weights learns from itself before the rounding: the labels
would teach it its training data once more, and what that costs would be counted as rounding's.
"""

import torch
from torch import Tensor
from torch.nn import functional


def distillation_loss(logits: Tensor, taught: Tensor, counted: Tensor) -> Tensor:
    """Mean cross-entropy in nats of the softmax of `logits` under that of `taught`.

    Both [..., symbols]; `counted` [...] bool says which of the answers enter the mean.
    """
    with torch.no_grad():
        probabilities = functional.softmax(taught.float(), dim=-1)
    nats = -(probabilities * functional.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
    return nats[counted].mean()
