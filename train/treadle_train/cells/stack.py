"""Recurrent layers on top of each other, with dropout between them.

Notation: B batch, T time, I input size, H hidden size, D directions (1 or 2).
"""

from torch import Tensor, nn

from treadle_train.cells.layer import Layer, State


class Stack(nn.Module):
    """Each layer reads the outputs of the one below; state names are "<layer>.<name of the layer>".

    Dropout applies to the outputs of every layer but the last, recurrent_dropout to the recurrent
    weights of every cell (`Cell.unroll`), both in training only.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        below = hidden_size * (2 if bidirectional else 1)
        self.layers = nn.ModuleList(
            Layer(
                below if index else input_size,
                hidden_size,
                cell,
                bidirectional,
                recurrent_dropout,
            )
            for index in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.output_size = below

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, H] by state name."""
        return {
            f"{index}.{name}": value
            for index, layer in enumerate(self._layers())
            for name, value in layer.initial_state(batch_size).items()
        }

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: x [B, I] to (output [B, H], next state). No bidirectional layers."""
        ends: State = {}
        for index, layer in enumerate(self._layers()):
            if index:
                x = self.dropout(x)
            x, end = layer.step(x, _part(state, index))
            ends |= {f"{index}.{name}": value for name, value in end.items()}
        return x, ends

    def unroll(
        self, x: Tensor, state: State, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """All time steps: x [B, T, I] to (outputs [B, T, D*H], state at each row's length)."""
        ends: State = {}
        for index, layer in enumerate(self._layers()):
            if index:
                x = self.dropout(x)
            x, end = layer.unroll(x, _part(state, index), lengths)
            ends |= {f"{index}.{name}": value for name, value in end.items()}
        return x, ends

    def _layers(self) -> list[Layer]:
        # An exporter may put another module with the same two methods in a layer's place.
        return list(self.layers)  # type: ignore[arg-type]


def _part(state: State, index: int) -> State:
    prefix = f"{index}."
    return {name[len(prefix) :]: v for name, v in state.items() if name.startswith(prefix)}
