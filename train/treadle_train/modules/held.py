"""Entries of a parameter that training leaves as they are: vectors given, moves forbidden."""

import torch
from torch import Tensor


class HeldEntries:
    """Where `held` is true, a parameter stays what it was at `take`, whatever the optimizer does.

    Their gradient is zero, so that they are no part of its norm. An optimizer moves what has no
    gradient all the same, by weight decay, so `restore` puts the values back after its step.
    held: bool, of the parameter's shape or broadcast to it.
    """

    def __init__(self, parameter: Tensor, held: Tensor) -> None:
        self.parameter, self.held = parameter, held
        self.values = parameter.detach()
        parameter.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient.masked_fill(self.held, 0)
        )

    def take(self) -> None:
        """Hold the entries as they are now, where the parameter is by now."""
        self.held = self.held.to(self.parameter.device)
        self.values = self.parameter.detach().clone()

    @torch.no_grad()
    def restore(self) -> None:
        """Put them back as they were."""
        self.parameter.copy_(torch.where(self.held, self.values, self.parameter))
