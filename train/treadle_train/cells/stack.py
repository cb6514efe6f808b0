"""Recurrent layers on top of each other, and what stands between them.

Notation: B batch, T time, I input size, H hidden size, D directions (1 or 2).
"""

from torch import Tensor, nn

from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import Layer, State


class Stack(nn.Module):
    """Each layer reads the outputs of the one below; state names are "<layer>.<name of the layer>".

        y_0 = layer_0(x),    y_k = layer_k(dropout(norm_k(y_{k-1}))) + y_{k-1}

    Dropout is of the outputs of every layer but the last, with one mask a sequence where it is
    variational; recurrent_dropout of the recurrent weights of every cell (`Cell.unroll`); both in
    training only. norm_k is there with `layer_norm` (Ba, Kiros & Hinton, "Layer normalization",
    2016), the last term with `residual` (He et al., "Deep residual learning", 2016; in recurrent
    stacks Wu et al., "Google's neural machine translation system", 2016). forget_bias: see
    `LSTM.set_forget_bias`; 0 leaves every bias as it was drawn.
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
        *,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
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
                forget_bias,
            )
            for index in range(layers)
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(below) if layer_norm else nn.Identity() for _ in range(1, layers)
        )
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.residual = residual
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
            output, end = layer.step(self._read(x, index), part_of(state, f"{index}."))
            x = output + x if index and self.residual else output
            ends |= {f"{index}.{name}": value for name, value in end.items()}
        return x, ends

    def unroll(
        self, x: Tensor, state: State, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """All time steps: x [B, T, I] to (outputs [B, T, D*H], state at each row's length)."""
        ends: State = {}
        for index, layer in enumerate(self._layers()):
            output, end = layer.unroll(self._read(x, index), part_of(state, f"{index}."), lengths)
            x = output + x if index and self.residual else output
            ends |= {f"{index}.{name}": value for name, value in end.items()}
        return x, ends

    def _read(self, x: Tensor, index: int) -> Tensor:
        """What layer `index` is given of x [..., F]: the input itself, or what lies below."""
        if not index:
            return x
        below: Tensor = self.dropout(self.norms[index - 1](x))
        return below

    def _layers(self) -> list[Layer]:
        # An exporter may put another module with the same two methods in a layer's place.
        return list(self.layers)  # type: ignore[arg-type]


def part_of(state: State, prefix: str) -> State:
    """What `state` holds under `prefix`, without it."""
    return {name[len(prefix) :]: v for name, v in state.items() if name.startswith(prefix)}
