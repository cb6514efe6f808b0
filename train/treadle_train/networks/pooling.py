"""How the outputs of all steps of a sequence become one vector; also one step at a time.

`whole` reads a sequence at once, `step` carries what it has seen as state, so that after every
step the vector is that of the sequence so far. All states start at zero.

Notation: B batch, T time, H size of a step's output.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from treadle_train.cells.layer import State
from treadle_train.cells.ragged import valid_positions

_LOWEST = torch.finfo(torch.float32).min


class Pooling(nn.Module, ABC):
    """`sizes`: name of a state -> its size; none where nothing is carried."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = sizes

    def initial_state(self, like: Tensor, batch_size: int) -> State:
        """Zeros [B, size] by state name, of the type of `like`."""
        return {name: like.new_zeros(batch_size, size) for name, size in self.sizes.items()}

    @abstractmethod
    def whole(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Outputs x [B, T, H] of rows of `lengths` int64 [B], from 1, to [B, H].

        What lies beyond a row's length has no effect.
        """

    @abstractmethod
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The output x [B, H] of one more step to (the vector so far [B, H], next state)."""


class LastPooling(Pooling):
    """The last step's output; of a layer that reads backwards its own last, at the first step.

    `backwards`: how many of the H numbers, the hindmost, come from such a layer.
    """

    def __init__(self, size: int, backwards: int = 0) -> None:
        super().__init__({})
        self.forwards = size - backwards

    def whole(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, H] to [B, H]."""
        last = (lengths - 1)[:, None, None].expand(-1, 1, x.shape[2])
        ends = x.gather(1, last)[:, 0]
        return torch.cat([ends[:, : self.forwards], x[:, 0, self.forwards :]], dim=-1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The output itself; nothing is carried."""
        return x, state


class MaxPooling(Pooling):
    """The largest that each number has been.

    `started` [B, 1] is 1 after the first step: a maximum has no value before it.
    """

    def __init__(self, size: int) -> None:
        super().__init__({"maximum": size, "started": 1})

    def whole(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, H] to [B, H]."""
        valid = valid_positions(lengths, x.shape[1])[:, :, None]
        return torch.where(valid, x, _LOWEST).amax(dim=1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The larger of maximum and output; at first the output."""
        before = state["maximum"]
        maximum = torch.where(state["started"] > 0, torch.maximum(before, x), x)
        return maximum, {"maximum": maximum, "started": torch.ones_like(state["started"])}


class MeanPooling(Pooling):
    """The mean of each number. `count` [B, 1] is how many steps there were."""

    def __init__(self, size: int) -> None:
        super().__init__({"mean": size, "count": 1})

    def whole(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, H] to [B, H]."""
        valid = valid_positions(lengths, x.shape[1])[:, :, None]
        return _weighted(valid.to(x.dtype), x) / lengths[:, None].to(x.dtype)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """μ' = μ + (x − μ) / n (Welford, "Note on a method for calculating …", 1962)."""
        count = state["count"] + 1.0
        mean = state["mean"] + (x - state["mean"]) / count
        return mean, {"mean": mean, "count": count}


class AttentionPooling(Pooling):
    """a = softmax_t(v · tanh(W x_t + b));  the vector is Σ_t a_t x_t.

    v is a learned query (Yang et al., "Hierarchical attention networks for document
    classification", 2016, in the form of Bahdanau, Cho & Bengio 2015). One step at a time it is the
    online softmax of Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018, with
    the normalizer as its logarithm, so that nothing that is carried grows with time: `pooled` is
    the vector so far, `logarithm` [B, 1] is log Σ e^s, `started` [B, 1] is 1 after the first step.
    """

    def __init__(self, size: int) -> None:
        super().__init__({"pooled": size, "logarithm": 1, "started": 1})
        self.keys = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def scores(self, x: Tensor) -> Tensor:
        """Scores [..., 1] of outputs x [..., H]."""
        return torch.matmul(torch.tanh(self.keys(x)), self.query.weight[0]).unsqueeze(-1)

    def whole(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, H] to [B, H]."""
        valid = valid_positions(lengths, x.shape[1])[:, :, None]
        weights = torch.softmax(torch.where(valid, self.scores(x), _LOWEST), dim=1)
        return _weighted(weights, x)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """ℓ' = log(e^ℓ + e^s) and p' = p + (x − p) e^(s − ℓ'); at first ℓ' = s and p' = x."""
        score, started = self.scores(x), state["started"]
        before = torch.where(started > 0, state["logarithm"], score)
        largest = torch.maximum(before, score)
        total = started * torch.exp(before - largest) + torch.exp(score - largest)
        logarithm = largest + torch.log(total)
        pooled = state["pooled"] + (x - state["pooled"]) * torch.exp(score - logarithm)
        after = {"pooled": pooled, "logarithm": logarithm, "started": torch.ones_like(started)}
        return pooled, after


def _weighted(weights: Tensor, x: Tensor) -> Tensor:
    """The sum over time of x [B, T, H] by weights [B, T, 1], zero where padded: [B, H].

    As a product of matrices for each row: a sum over an inner axis is another kernel for one row
    than for several, whose last bits differ.
    """
    return torch.matmul(weights.transpose(1, 2), x)[:, 0]


def make_pooling(name: str, size: int, backwards: int = 0) -> Pooling:
    """The pooling called `name` for outputs of `size`, `backwards` of them read backwards."""
    if name == "last":
        return LastPooling(size, backwards)
    kinds: dict[str, type[MaxPooling | MeanPooling | AttentionPooling]]
    kinds = {"max": MaxPooling, "mean": MeanPooling, "attention": AttentionPooling}
    return kinds[name](size)
