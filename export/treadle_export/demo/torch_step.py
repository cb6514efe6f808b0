"""One decoding step in PyTorch as its users write it: nn.LSTM, nn.GRU or nn.RNN, inference mode.

The other side of the latency table: the same weights, the same inputs, in the same process.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import UnsupportedGraph
from treadle.stopwatch import Latency, measure
from treadle_train.cells import GRU, LSTM, Elman, Layer, PeepholeLSTM, Stack
from treadle_train.networks import Network, Transducer


def as_torch_module(stack: Stack) -> nn.RNNBase:
    """Torch's own module with the weights of a stack of forward layers.

    Raises:
        UnsupportedGraph: torch has no such module (a bidirectional stack, a GRU that resets
            before the product, an LSTM with peepholes, something between the layers).
    """
    if stack.residual or any(isinstance(norm, nn.LayerNorm) for norm in stack.norms):
        raise UnsupportedGraph(
            "torch has no module for a stack with residual connections or normalized inputs"
        )
    layers = [layer for layer in stack.layers if isinstance(layer, Layer)]
    cells = [layer.forward_cell for layer in layers]
    first = cells[0]
    if any(layer.reverse_cell is not None for layer in layers):
        raise UnsupportedGraph("expected forward layers to step in torch, got bidirectional ones")
    sizes: dict[str, Any] = {
        "input_size": first.input_size,
        "hidden_size": first.hidden_size,
        "num_layers": len(cells),
        "batch_first": True,
    }
    if isinstance(first, LSTM) and not isinstance(first, PeepholeLSTM):
        module: nn.RNNBase = nn.LSTM(**sizes)
    elif isinstance(first, GRU) and first.reset == "after":
        module = nn.GRU(**sizes)
    elif isinstance(first, Elman):
        module = nn.RNN(nonlinearity=first.nonlinearity, **sizes)
    else:
        raise UnsupportedGraph(f"torch has no module for {first!r}")
    with torch.no_grad():
        for index, cell in enumerate(cells):
            for ours, theirs in (("input", "ih"), ("recurrent", "hh")):
                module.get_parameter(f"weight_{theirs}_l{index}").copy_(
                    cell.get_parameter(f"{ours}_weights")
                )
                module.get_parameter(f"bias_{theirs}_l{index}").copy_(
                    cell.get_parameter(f"{ours}_bias")
                )
    return module.eval()


class TorchStream:
    """A network's step over torch's own recurrent module, state carried."""

    def __init__(self, network: Network, source: Tensor | None = None) -> None:
        """`source` int64 [1, S] is what a transducer reads, once."""
        self.network = copy.deepcopy(network).eval()
        self.recurrent = as_torch_module(_stepped_stack(self.network))
        self.state: Any = None
        self.context: Any = None
        if source is not None:
            if not isinstance(self.network, Transducer):
                raise UnsupportedGraph("expected a transducer for a source, got another network")
            with torch.inference_mode():
                lengths = torch.tensor([source.shape[1]])
                self.context, _ = self.network.encode(source, lengths)

    @torch.inference_mode()
    def step(self, token: Tensor) -> Tensor:
        """Token int64 [1] -> logits [1, V]."""
        network = self.network
        if isinstance(network, Transducer):
            x = network.target_embedding(token)[:, None]
            if network.summary is not None:
                x = torch.cat([x, self.context["summary"][:, None]], dim=-1)
            hidden, self.state = self.recurrent(x, self.state)
            if network.attention is not None:
                hidden = network.attention(hidden, self.context)
        else:
            x = network.get_submodule("embedding")(token)[:, None]
            hidden, self.state = self.recurrent(x, self.state)
        logits: Tensor = network.get_submodule("output")(hidden[:, 0])
        return logits


def _stepped_stack(network: Network) -> Stack:
    """The recurrent layers that run once a step."""
    stack = network.get_submodule("decoder" if isinstance(network, Transducer) else "recurrent")
    if not isinstance(stack, Stack):
        raise UnsupportedGraph(f"expected a stack of layers, got {type(stack).__name__}")
    return stack


def fastest(make_step: Callable[[], Callable[[], object]], *, steps: int) -> Latency:
    """The better of one and two threads, by median."""
    before = torch.get_num_threads()
    measured = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            measured.append(measure(make_step(), steps=steps, threads=threads))
    finally:
        torch.set_num_threads(before)
    return min(measured, key=lambda latency: latency.p50_us)
