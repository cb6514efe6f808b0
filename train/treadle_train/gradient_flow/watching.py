"""Recurrent layers that keep each step's state, so that its gradient can be asked for.

torch's kernels keep what happens between two steps to themselves, so that the gradient of one of
their outputs lacks what reaches it through later steps. Notation: B batch, T time, H hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import InputError
from treadle_train.cells import Cell, Layer
from treadle_train.cells.layer import State
from treadle_train.cells.ragged import all_full


class WatchedLayer(nn.Module):
    """Stands in for a `Layer`, whose cells it unrolls one step at a time.

    states: for "" and "reverse." the states [B, H] after each step, in the order of the steps.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.states: dict[str, list[tuple[Tensor, ...]]] = {}

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, H] by state name."""
        return self.layer.initial_state(batch_size)

    def unroll(
        self, x: Tensor, state: State, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """As `Layer.unroll`. Raises InputError unless all rows are full."""
        if lengths is not None and not all_full(lengths, x.shape[1]):
            raise InputError("Gradients are followed through rows of one length; got several.")
        outputs = [self._unroll(self.layer.forward_cell, x, state, "")]
        if self.layer.reverse_cell is not None:
            mirrored = self._unroll(self.layer.reverse_cell, x.flip(1), state, "reverse.")
            outputs.append(mirrored.flip(1))
        names = self.layer.forward_cell.state_names
        ends = {
            f"{direction}{name}": part
            for direction, steps in self.states.items()
            for name, part in zip(names, steps[-1], strict=True)
        }
        return torch.cat(outputs, dim=-1), ends

    def _unroll(self, cell: Cell[Any], x: Tensor, start: State, direction: str) -> Tensor:
        state = cell.state_type(*(start[f"{direction}{name}"] for name in cell.state_names))
        outputs, self.states[direction] = [], []
        for column in x.unbind(1):
            output, state = cell.step(column, state)
            outputs.append(output)
            self.states[direction].append(tuple(state))
        return torch.stack(outputs, dim=1)


def watch(network: nn.Module) -> dict[str, WatchedLayer]:
    """Replace, in place, every recurrent layer; they come back by the names of their states."""
    watched = {}
    for name, module in list(network.named_modules()):
        if isinstance(module, Layer):
            layer = WatchedLayer(module)
            network.set_submodule(name, layer)
            watched[name.replace(".layers.", ".")] = layer
    return watched
