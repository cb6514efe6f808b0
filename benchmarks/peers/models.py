"""The workloads in PyTorch, as a tutorial writes them, and the same with cells of linear layers.

Exporters, compilers and quantizers that cannot take `nn.LSTM` or `nn.GRU` get the second form.

Notation: L layers, H hidden, B streams, V vocabulary, T tokens, S source, G gates.
"""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.workloads import Weights, Workload

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU}


class Step(nn.Module):
    """One step of a language model: token int64 [B] and states [L, B, H] -> logits [B, V], states.

    A GRU has no `cell`.
    """

    def __init__(self, workload: Workload, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(workload.vocabulary, workload.embedding)
        self.recurrent: nn.Module = TORCH[cell](
            workload.embedding, workload.hidden, workload.layers
        )
        self.output = nn.Linear(workload.hidden, workload.outputs)

    def forward(
        self, token: Tensor, hidden: Tensor, cell: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits and the next states."""
        state = hidden if cell is None else (hidden, cell)
        y, end = self.recurrent(self.embedding(token)[None], state)
        return (self.output(y[0]), *(end if isinstance(end, tuple) else (end,)))


class Tagger(nn.Module):
    """A whole sentence: tokens int64 [T, 1] -> logits [T, tags].

    The axis of batches is there from the start: ncnn, which has none, knows by that which to drop.
    """

    def __init__(self, workload: Workload, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(workload.vocabulary, workload.embedding)
        self.recurrent = TORCH[cell](workload.embedding, workload.hidden, bidirectional=True)
        self.output = nn.Linear(2 * workload.hidden, workload.outputs)

    def forward(self, tokens: Tensor) -> tuple[Tensor]:
        """Logits alone, in a tuple like the others'."""
        y, _ = self.recurrent(self.embedding(tokens))
        return (self.output(y[:, 0]),)


class Encoder(nn.Module):
    """What a decoder attends to: source int64 [S] -> memory [S, H], half of it each way."""

    def __init__(self, workload: Workload, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(workload.vocabulary, workload.embedding)
        self.recurrent = TORCH[cell](workload.embedding, workload.hidden // 2, bidirectional=True)

    def forward(self, source: Tensor) -> Tensor:
        """The outputs of both directions side by side."""
        y: Tensor = self.recurrent(self.embedding(source)[:, None])[0]
        return y[:, 0]


class Decoder(nn.Module):
    """One step: token int64 [1], hidden [1, 1, H], memory [S, H] -> logits [1, V], hidden.

    a = softmax(memory · h),  logits = W_o tanh(W [a · memory; h] + b) + b_o: Luong, Pham & Manning,
    "Effective approaches to attention-based neural machine translation", 2015, with dot scores.
    """

    def __init__(self, workload: Workload, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(workload.vocabulary, workload.embedding)
        self.recurrent: nn.Module = TORCH[cell](workload.embedding, workload.hidden)
        self.mix = nn.Linear(2 * workload.hidden, workload.hidden)
        self.output = nn.Linear(workload.hidden, workload.outputs)

    def forward(self, token: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the next state."""
        y, end = self.recurrent(self.embedding(token)[None], hidden)
        query = y[0]
        # Not query @ memory.T: pnnx makes a linear layer of that, with weights that it lacks.
        scores = torch.matmul(memory, query.reshape(-1, 1)).reshape(1, -1)
        summed = torch.matmul(torch.softmax(scores, dim=-1), memory)
        return self.output(torch.tanh(self.mix(torch.cat([summed, query], dim=-1)))), end


class Cells(nn.Module):
    """One step of `nn.LSTM` or `nn.GRU` with linear layers of the same weights, in its place.

    Gates in PyTorch's order: i, f, g, o and r, z, n.
    """

    def __init__(self, recurrent: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.gates = 4 if isinstance(recurrent, nn.LSTM) else 3
        layers = range(recurrent.num_layers)
        self.below = nn.ModuleList(_linear(recurrent, "ih", layer) for layer in layers)
        self.before = nn.ModuleList(_linear(recurrent, "hh", layer) for layer in layers)

    def forward(self, x: Tensor, state: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """Reads x [1, B, E]: (outputs [1, B, H], states [L, B, H])."""
        y, hiddens, kept = x[0], [], []
        for layer, (below, before) in enumerate(zip(self.below, self.before, strict=True)):
            if isinstance(state, tuple):
                y, cell = _lstm(below(y) + before(state[0][layer]), state[1][layer])
                kept.append(cell)
            else:
                y = _gru(below(y), before(state[layer]), state[layer])
            hiddens.append(y)
        hidden = torch.stack(hiddens)
        return y[None], (hidden, torch.stack(kept)) if kept else hidden


def _linear(recurrent: nn.LSTM | nn.GRU, which: str, layer: int) -> nn.Linear:
    weight = recurrent.get_parameter(f"weight_{which}_l{layer}")
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight = weight
    linear.bias = recurrent.get_parameter(f"bias_{which}_l{layer}")
    return linear


def _lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru(below: Tensor, before: Tensor, hidden: Tensor) -> Tensor:
    (r, z, n), (r_before, z_before, n_before) = below.chunk(3, -1), before.chunk(3, -1)
    update = torch.sigmoid(z + z_before)
    candidate = torch.tanh(n + torch.sigmoid(r + r_before) * n_before)
    return candidate + update * (hidden - candidate)


MODULES: dict[str, type[nn.Module]] = {"step": Step, "tagger": Tagger, "decoder": Decoder}


def module_of(workload: Workload, cell: str, weights: Weights, *, cells: bool = False) -> nn.Module:
    """The step with these weights, with `cells` in the second form; a tagger has but the first."""
    module = MODULES[workload.kind](workload, cell)
    own = {name: torch.from_numpy(weights[name]) for name in module.state_dict()}
    module.load_state_dict(own)
    recurrent = module.get_submodule("recurrent")
    if cells and workload.kind != "tagger" and isinstance(recurrent, nn.LSTM | nn.GRU):
        module.add_module("recurrent", Cells(recurrent))
    return module.eval().requires_grad_(False)


def encoder_of(workload: Workload, cell: str, weights: Weights) -> Encoder:
    """What makes a decoder's memory."""
    encoder = Encoder(workload, cell)
    own = {name: torch.from_numpy(weights[f"encoder.{name}"]) for name in encoder.state_dict()}
    encoder.load_state_dict(own)
    return encoder.eval().requires_grad_(False)


def example_of(workload: Workload, cell: str) -> tuple[Tensor, ...]:
    """Arguments of a step: what is read, then states, then what is attended to."""
    if workload.kind == "tagger":
        return (torch.ones(workload.length, 1, dtype=torch.int64),)
    states = [torch.zeros(workload.states) for _ in range(2 if cell == "lstm" else 1)]
    memory = [torch.zeros(workload.length, workload.hidden)] if workload.kind == "decoder" else []
    return (torch.ones(workload.streams, dtype=torch.int64), *states, *memory)


def names_of(workload: Workload, cell: str) -> tuple[list[str], list[str]]:
    """The names of inputs and outputs of a step, in order."""
    if workload.kind == "tagger":
        return ["token"], ["logits"]
    states = ["hidden", "cell"][: 2 if cell == "lstm" else 1]
    memory = ["memory"] if workload.kind == "decoder" else []
    return ["token", *states, *memory], ["logits", *(f"next_{name}" for name in states)]
