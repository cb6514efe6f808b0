"""What cannot be traced faithfully is refused in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from tests.export.foreign_modules import HIDDEN, WIDTH, Tagger
from treadle.errors import UnsupportedGraph
from treadle_export.torch_modules import foreign_of

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES = torch.zeros(1, 1, WIDTH)
WORDS = (torch.ones(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64))


class Around(nn.Module):
    """A recurrent module, and a forward of the test's own around it."""

    def __init__(self, rnn: nn.Module, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.rnn = rnn
        self.around = forward

    def forward(self, x: Tensor) -> Any:
        return self.around(self.rnn, x)


class Packing(Tagger):
    """What a test does with a packed sequence."""

    def __init__(self, use: Callable[[Any], Any]) -> None:
        super().__init__()
        self.use = use

    def tagged(self, packed: Any, tokens: Tensor) -> Any:
        return super().tagged(self.use(packed), tokens)


def _gru() -> nn.GRU:
    return nn.GRU(WIDTH, HIDDEN, batch_first=True)


def _loop(cell: nn.Module, x: Tensor) -> Tensor:
    hidden, outputs = x.new_zeros(x.size(0), HIDDEN), []
    for step in x.unbind(1):
        hidden = cell(step, hidden)
        outputs.append(hidden)
    return torch.stack(outputs, 1)


def _plain_loop(rnn: nn.Module, x: Tensor) -> Tensor:
    total, outputs = x[:, 0] * 0, []
    for step in range(x.size(1)):
        total = total * 0.5 + x[:, step]
        outputs.append(total)
    result: Tensor = rnn(torch.stack(outputs, 1))[0]
    return result


class Unrelated(nn.GRU):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return nn.GRU.forward(self, input, hx)


class Learned(nn.Module):
    """A projected state that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, HIDDEN, proj_size=2, batch_first=True)
        self.start = nn.Parameter(torch.ones(1, 1, 2))

    def forward(self, x: Tensor) -> Any:
        start = self.start.expand(-1, x.size(0), -1).contiguous()
        return self.lstm(x, (start, x.new_zeros(1, x.size(0), HIDDEN)))[0]


class Uncopied(nn.GRU):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("there is one of me")


class Kept(nn.Module):
    """A state that the module keeps from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, HIDDEN)
        self.state: Any = None

    def forward(self, x: Tensor) -> Any:
        outputs, self.state = self.lstm(x, self.state)
        return outputs


class KeptInPlace(nn.Module):
    """The same in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, HIDDEN)
        self.count: Tensor
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        return self.gru(x)[0] / self.count


def _branching(rnn: nn.Module, x: Tensor) -> Any:
    return rnn(x if x.sum() > 0 else -x)[0]


REFUSED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "no recurrence": (
        lambda: nn.Sequential(nn.Linear(WIDTH, 2), nn.ReLU()),
        FRAMES,
        (
            r"a module that contains nn\.RNN, nn\.LSTM, nn\.GRU or one of their cells, got "
            r"Sequential of Linear, ReLU"
        ),
    ),
    "a loop over time": (
        lambda: Around(nn.GRUCell(WIDTH, HIDDEN), _loop),
        FRAMES,
        (
            r"to be called once in forward, got 4 calls for 4 steps and 8 for 8: a loop "
            r"over time .* write forward for one step \(x_t, state\), or use nn\.LSTM"
        ),
    ),
    "a loop over time without cells": (
        lambda: Around(_gru(), _plain_loop),
        FRAMES,
        (
            r"expected the time axis of 'x' to stay free, got one that is fixed at 4 by forward: a "
            r"Python loop over it"
        ),
    ),
    "two calls": (
        lambda: Around(_gru(), lambda rnn, x: rnn(x)[0] + rnn(-x)[0]),
        FRAMES,
        r"expected 'rnn' to be called once in forward, got 2 calls, .* a module of its own",
    ),
    "a fixed batch": (
        lambda: Around(_gru(), lambda rnn, x: rnn(x, torch.zeros(1, 1, HIDDEN))[0]),
        FRAMES,
        (
            r"expected Around to take any batch, .* it takes its example and no other size "
            r"\(RuntimeError: Expected hidden size \(1, 2, 4\), got \[1, 1, 4\]\); say which axes"
        ),
    ),
    "a branch on values": (
        lambda: Around(_gru(), _branching),
        FRAMES,
        (
            r"expected a module that torch\.export can trace, got from Around: "
            r".*; keep Python control flow in forward free of tensor values"
        ),
    ),
    "an operator that ONNX lacks": (
        lambda: Around(_gru(), lambda rnn, x: torch.linalg.svd(rnn(x)[0])[1]),
        FRAMES,
        (
            r"a module whose operators ONNX has, got from torch\.onnx\.export: .*svd.*; write "
            r"forward without that operator"
        ),
    ),
    "random numbers": (
        lambda: Around(_gru(), lambda rnn, x: rnn(x + torch.rand_like(x))[0]),
        FRAMES,
        r"expected the traced graph to answer as around at 3 rows, got another 'output'",
    ),
    "an example that does not fit": (
        _gru,
        torch.zeros(1, 1, WIDTH + 1),
        (
            r"expected example inputs that GRU takes, got RuntimeError: input\.size\(-1\) must be "
            r"equal to input_size"
        ),
    ),
    "too many inputs": (
        _gru,
        (FRAMES, FRAMES, FRAMES),
        r"expected example inputs that GRU\.forward\(.*\) takes, got 3 of them: too many",
    ),
    "inputs of other names": (
        _gru,
        {"frames": FRAMES},
        r"expected example inputs that GRU\.forward\(.*\) takes, got a dict of frames: ",
    ),
    "a packed example": (
        _gru,
        pack_sequence([torch.zeros(1, WIDTH)]),
        r"got a PackedSequence for 'input'; give the padded tensor and its lengths",
    ),
    "nothing returned": (
        lambda: Around(_gru(), lambda rnn, x: str(rnn(x)[0].shape)),
        FRAMES,
        r"expected forward to return tensors, or tuples or dicts of them, got str",
    ),
    "packed output": (
        lambda: Around(
            _gru(), lambda rnn, x: rnn(pack_padded_sequence(x, torch.ones(x.size(0)), True))[0]
        ),
        FRAMES,
        r"expected outputs that are tensors, got a PackedSequence; pad it in forward",
    ),
    "arithmetic on what is packed": (
        lambda: Packing(lambda packed: PackedSequence(packed.data * 2, *packed[1:])),
        WORDS,
        (
            r"got a use of PackedSequence\.data: only pack_padded_sequence, recurrent modules and "
            r"pad_packed_sequence can be exported"
        ),
    ),
    "parts of what is packed": (
        lambda: Packing(lambda packed: PackedSequence(*packed)),
        WORDS,
        r"got a use of the parts of a PackedSequence",
    ),
    "another way of packing": (
        lambda: Around(_gru(), lambda rnn, x: (pack_sequence(list(x)), rnn(x)[0])[1]),
        FRAMES,
        r"got a use of pack_sequence: only pack_padded_sequence",
    ),
    "lengths as numbers": (
        lambda: Around(
            _gru(),
            lambda rnn, x: rnn(pack_padded_sequence(x, [x.shape[1]] * x.shape[0], True))[1],
        ),
        FRAMES,
        (
            r"expected the lengths given to pack_padded_sequence to be a tensor that comes from an "
            r"input, got list"
        ),
    ),
    "a class that goes around torch's own": (
        lambda: Unrelated(WIDTH, HIDDEN),
        FRAMES,
        (
            r"1 recurrent layers in '' to be traced whole, got 0: .* a class of your own must "
            r"call torch's forward through super\(\)"
        ),
    ),
    "a projected state that is learned": (
        Learned,
        FRAMES,
        (
            r"expected the initial hidden state of the projected LSTM 'lstm\.0' to be zeros or an "
            r"input that is nothing else, got .*; start from zeros"
        ),
    ),
    "a state that is kept": (
        Kept,
        FRAMES,
        (
            r"forward to change nothing, got another 'state\[0\]' after a call: .* take it as "
            r"an argument of forward and return the next one"
        ),
    ),
    "a buffer that counts": (KeptInPlace, FRAMES, r"got another 'count' after a call"),
    "a module that cannot be copied": (
        lambda: Uncopied(WIDTH, HIDDEN),
        FRAMES,
        r"a module that can be copied, got from Uncopied: RuntimeError: there is one of me",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name: str) -> None:
    make, example, words = REFUSED[name]
    with pytest.raises(UnsupportedGraph, match=words):
        foreign_of(make(), example)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lengths": "sizes"}, r"expected names of inputs \(input\), got sizes"),
        ({"axes": {"x": ("batch",)}}, r"expected names of inputs \(input\), got x"),
        (
            {"axes": {"input": ("batch", "steps")}},
            r"the axes of 'input' as \"batch\", \"time\" or None .* got \('batch', 'steps'\)",
        ),
        ({"axes": {"input": ("time",)}}, r"a batch among them and no more than it has \(3\)"),
        (
            {"axes": {"input": ("batch", None, "time")}},
            r"expected GRU to take any batch, .* no other size \(RuntimeError: input\.size\(-1\)",
        ),
    ],
)
def test_wrong_axes_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedGraph, match=words):
        foreign_of(_gru(), FRAMES, **options)
