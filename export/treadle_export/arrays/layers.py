"""What describes a layer: its arrays, the order they are in, and what it does with them.

B batch, T time, I input size, H hidden size, G gates, E embedding size, V vocabulary.

The shapes of a recurrent layer, one direction, by order:

order    input_weights  recurrent_weights  biases                                 gates
torch    [G*H, I]       [G*H, H]           [G*H] and [G*H] (`recurrent_bias`)      i f g o;  r z n
keras    [I, G*H]       [H, G*H]           [G*H], or [2, G*H] where reset="after"  i f c o;  z r h
onnx     [1, G*H, I]    [1, G*H, H]        [1, 2*G*H]                              i o f c;  z r h

Sources: torch.nn.LSTM and GRU; keras.layers.LSTM and GRU; the ONNX operators LSTM, GRU and RNN.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError

Order = Literal["torch", "onnx", "keras"]
Cell = Literal["lstm", "gru", "rnn"]
Merge = Literal["concat", "sum", "mul", "ave"]
Floats = NDArray[Any]  # of any floating-point dtype; computed in float32


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingArrays:
    """Ids int64 [B, T] to rows of `table` [V, E]. Stands first."""

    table: Floats
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentArrays:
    """A recurrent layer that reads in one direction; shapes by `order` as above.

    cell: "lstm" (with a forget gate), "gru" or "rnn" (one activation of Wx + Rh + b).
    bias, recurrent_bias: None is zero; the second belongs to the order "torch" alone.
    reset: of a GRU: the reset gate "after" the recurrent product (PyTorch, Keras since 2.0 by
        `reset_after=True`) or "before" it (Cho et al. 2014).
    activation: of the candidate and, in an LSTM, of the cell state on its way out.
    recurrent_activation: of the gates; an "rnn" has none.
    sequences: whether every step is an output, or only the state at each row's length.
    go_backwards: reads each row from its end; every step's output then comes in that order.
    """

    cell: Cell
    input_weights: Floats
    recurrent_weights: Floats
    bias: Floats | None = None
    recurrent_bias: Floats | None = None
    order: Order = "keras"
    reset: Literal["before", "after"] = "after"
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    sequences: bool = True
    go_backwards: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BidirectionalArrays:
    """Two recurrent layers of one kind and size over the same input, each in its direction.

    merge: how the outputs at a step of the input are joined; `backward`'s come in the input's
        order, whatever its `go_backwards` says.
    """

    forward: RecurrentArrays
    backward: RecurrentArrays
    merge: Merge = "concat"
    name: str | None = None

    @classmethod
    def from_onnx(
        cls,
        cell: Cell,
        input_weights: Floats,
        recurrent_weights: Floats,
        bias: Floats | None = None,
        *,
        merge: Merge = "concat",
        name: str | None = None,
        **options: Any,
    ) -> "BidirectionalArrays":
        """From the arrays of a bidirectional ONNX node: W [2, G*H, I], R [2, G*H, H], B [2, 2*G*H].

        Args:
            cell: "lstm", "gru" or "rnn".
            input_weights: W.
            recurrent_weights: R.
            bias: B, or None for zeros.
            merge: how outputs are joined.
            name: of the layer.
            options: further fields of both `RecurrentArrays`.

        Raises:
            InputError: an array has no first axis of 2.
        """
        arrays = (input_weights, recurrent_weights, *(() if bias is None else (bias,)))
        for array in arrays:
            if np.ndim(array) < 2 or len(array) != 2:
                raise InputError(
                    f"expected arrays of two directions, the first axis of each 2, got the shape "
                    f"{list(np.shape(array))}; stack both directions"
                )
        one, two = (
            RecurrentArrays(
                cell,
                input_weights[d : d + 1],
                recurrent_weights[d : d + 1],
                None if bias is None else bias[d : d + 1],
                order="onnx",
                **options,
            )
            for d in range(2)
        )
        return cls(one, two, merge, name)


@dataclass(frozen=True, slots=True, eq=False)
class DenseArrays:
    """A linear layer and its activation: weights [O, I] in the order "torch", else [I, O]."""

    weights: Floats
    bias: Floats | None = None  # [O]
    activation: str = "linear"
    order: Order = "keras"
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ActivationArrays:
    """An activation of every value; "softmax" is taken over the features."""

    activation: str
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScaleArrays:
    """x * factors + terms, both [I]: what batch normalization is at inference."""

    factors: Floats
    terms: Floats
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NormalizationArrays:
    """Layer normalization over the features (Ba et al. 2016): gain and shift [I].

    The variance is that of the population; `epsilon` is added to it.
    """

    gain: Floats
    shift: Floats
    epsilon: float = 1e-5
    name: str | None = None


Layer = (
    EmbeddingArrays
    | RecurrentArrays
    | BidirectionalArrays
    | DenseArrays
    | ActivationArrays
    | ScaleArrays
    | NormalizationArrays
)
