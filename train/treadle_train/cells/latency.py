"""Latency-controlled layers: both directions, of which the backward one sees a bounded future.

Zhang, Chen, Yu, Yao, Khudanpur & Glass, "Highway long short-term memory RNNs for distant speech
recognition", 2016.

Notation: B batch, T time, C steps of a chunk, R steps that are looked ahead, W = C + R of a window,
I input size, H hidden size.
"""

import torch
from torch import Tensor, nn

from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import Layer, State
from treadle_train.cells.ragged import reverse
from treadle_train.cells.stack import part_of


class LatencyControlledLayer(nn.Module):
    """A layer whose forward direction is carried over chunks, and whose backward one is not.

    State names are those of the layer that reads forwards, "forwards.…".
    """

    def __init__(
        self, input_size: int, hidden_size: int, cell: str = "lstm", recurrent_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.forwards = Layer(input_size, hidden_size, cell, recurrent_dropout=recurrent_dropout)
        self.backwards = Layer(input_size, hidden_size, cell, recurrent_dropout=recurrent_dropout)

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, H] by state name."""
        state = self.forwards.initial_state(batch_size)
        return {f"forwards.{name}": value for name, value in state.items()}

    def window(
        self, x: Tensor, lengths: Tensor, state: State, chunk: int, *, ahead: bool
    ) -> tuple[Tensor, State]:
        """A window x [B, W, I] of rows of `lengths` int64 [B] in 0..W.

        To outputs [B, W, 2*H], or without `ahead` [B, C, 2*H], zero where padded, and the state
        behind the chunk. Backwards starts from zeros at each row's own last step in the window.
        """
        before = part_of(state, "forwards.")
        inside = lengths.clamp(max=chunk)
        read, after = self.forwards.unroll(x[:, :chunk], before, inside)
        # An engine's recurrent node gives a row without steps zeros for its state.
        begun = (inside > 0)[:, None]
        after = {name: torch.where(begun, after[name], before[name]) for name in after}
        mirrored = reverse(x, lengths)
        backwards, _ = self.backwards.unroll(
            mirrored, self.backwards.initial_state(x.shape[0]), lengths
        )
        backwards = reverse(backwards, lengths)
        if not ahead:
            backwards = backwards[:, :chunk]
        elif x.shape[1] > chunk:
            rest = (lengths - chunk).clamp(min=0)
            later, _ = self.forwards.unroll(x[:, chunk:], after, rest)
            read = torch.cat([read, later], dim=1)
        return torch.cat([read, backwards], dim=-1), {f"forwards.{n}": v for n, v in after.items()}


class LatencyControlledStack(nn.Module):
    """Latency-controlled layers on top of each other; state names are "<layer>.forwards.…".

    All layers read one window, so that more of them wait no longer: the tag of a step is known once
    C - 1 + R more steps at most were read. What a layer is given of the steps ahead is what the one
    below makes of them in this window: forwards read on from the chunk, backwards from the window's
    end. It is not what that layer will say of them in the next window, which sees further, and is
    no part of what is carried. Dropout is as `Stack` has it; `Cell.unroll` draws a mask of
    recurrent weights for each window.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "lstm",
        chunk: int = 1,
        lookahead: int = 0,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.chunk, self.lookahead = chunk, lookahead
        self.output_size = 2 * hidden_size
        self.layers = nn.ModuleList(
            LatencyControlledLayer(
                self.output_size if index else input_size, hidden_size, cell, recurrent_dropout
            )
            for index in range(layers)
        )
        self.dropout = make_dropout(dropout, variational=False)

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, H] by state name."""
        return {
            f"{index}.{name}": value
            for index, layer in enumerate(self._layers())
            for name, value in layer.initial_state(batch_size).items()
        }

    def window(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A window x [B, W, I], lengths int64 [B] in 0..W, to outputs [B, C, 2*H] and the state.

        Outputs are those of the chunk, zero where padded; the state is that behind the chunk.
        """
        ends: State = {}
        for index, layer in enumerate(self._layers()):
            below = self.dropout(x) if index else x
            ahead = index < len(self.layers) - 1
            before = part_of(state, f"{index}.")
            x, end = layer.window(below, lengths, before, self.chunk, ahead=ahead)
            ends |= {f"{index}.{name}": value for name, value in end.items()}
        return x, ends

    def unroll(self, x: Tensor, state: State, lengths: Tensor) -> tuple[Tensor, State]:
        """Window after window: x [B, T, I], lengths int64 [B] to (outputs [B, T, 2*H], state).

        Outputs are zero where padded; the state is that behind the last chunk of each row.
        """
        outputs, whole = [], self.chunk + self.lookahead
        for start in range(0, x.shape[1], self.chunk):
            window = x[:, start : start + whole]
            inside = (lengths - start).clamp(0, window.shape[1])
            read, state = self.window(window, inside, state)
            outputs.append(read)
        return torch.cat(outputs, dim=1), state

    def _layers(self) -> list[LatencyControlledLayer]:
        return list(self.layers)  # type: ignore[arg-type]
