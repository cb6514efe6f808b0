"""torch's own recurrent modules as opaque ops (`capturing`) while a foreign module is traced.

A module keeps its class's behaviour, its attributes and its parameters: user code asks a recurrent
module for `num_layers`, draws zeros `new_zeros` from its weights, or extends its class. So the
objects stay and only their class is changed, to one whose `forward` calls one op a layer.

Shapes: B batch, T time, D directions, L layers, H hidden size.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from treadle_export.torch_modules.packing import Packed, opened
from treadle_export.torch_modules.weights import OpaqueWeights


def recurrent_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of each recurrent module in `module`, once each."""
    known = tuple(_OPAQUE)
    yield from ((path, part) for path, part in module.named_modules() if isinstance(part, known))


def layers_in(part: nn.Module) -> int:
    """Recurrent nodes that one call of a recurrent module becomes; a cell becomes one."""
    return part.num_layers if isinstance(part, nn.RNNBase) else 1


def with_opaque_modules(module: nn.Module) -> None:
    """Changes, in place, every recurrent module in `module` into its opaque form."""
    for _, part in list(recurrent_modules(module)):
        kind = "lstm" if isinstance(part, nn.LSTM | nn.LSTMCell) else "rnn"
        kind = "gru" if isinstance(part, nn.GRU | nn.GRUCell) else kind
        for layer in range(layers_in(part)):
            part.add_module(str(layer), OpaqueWeights(part, kind, layer))
        part.__class__ = _opaque_class(type(part))


def _opaque_class(known: type[nn.Module]) -> type[nn.Module]:
    """`known` with a `forward` that calls ops; a class of the user's own still goes first."""
    opaque = next(made for base, made in _OPAQUE.items() if issubclass(known, base))
    return opaque if known in _OPAQUE else type(known.__name__, (known, opaque), {})


def _unrolled(part: Any, given: Any, hx: Any) -> Any:
    """As `nn.LSTM`, `nn.GRU` and `nn.RNN` answer: outputs and the final state [L*D, B, H]."""
    lengths = None
    packed, turned = isinstance(given, PackedSequence), part.batch_first
    if packed:
        sequence, turned = opened(given), False
        given, lengths = sequence.padded, sequence.lengths.to(torch.int32)
    single = given.dim() == 2
    if single:
        given, turned = given.unsqueeze(1), False
    x = given.transpose(0, 1) if turned else given
    parts = _parts(part, hx)
    if single:
        parts = [None if state is None else state.unsqueeze(1) for state in parts]
    directions = 1 + part.bidirectional
    finals: list[list[Tensor]] = []
    for layer in range(part.num_layers):
        rows = slice(layer * directions, (layer + 1) * directions)
        own = [state if state is None or part.num_layers == 1 else state[rows] for state in parts]
        x, final = part.get_submodule(str(layer))(x, lengths, own)
        finals.append(final)
    states = [torch.cat(own) if len(own) > 1 else own[0] for own in zip(*finals, strict=True)]
    if single:
        x, states = x.squeeze(1), [state.squeeze(1) for state in states]
    outputs = x.transpose(0, 1) if turned else x
    state = tuple(states) if len(states) > 1 else states[0]
    return (Packed(outputs, sequence.lengths, zeroed=True) if packed else outputs), state


def _parts(part: nn.Module, hx: Any) -> list[Tensor | None]:
    """The parts of a state as a module of torch is given it: hidden, and cell of an LSTM."""
    if not isinstance(part, nn.LSTM | nn.LSTMCell):
        return [hx]
    return [None, None] if hx is None else list(hx)


def _stepped(part: nn.Module, x: Tensor, hx: Any) -> Any:
    """As a cell of torch answers: its next state [B, H], for an LSTM hidden and cell state."""
    single = x.dim() == 1
    given = x.unsqueeze(0) if single else x
    parts = [
        None if state is None else state.unsqueeze(0).unsqueeze(0) if single else state.unsqueeze(0)
        for state in _parts(part, hx)
    ]
    _, finals = part.get_submodule("0")(given.unsqueeze(0), None, parts)
    states = tuple(final[0, 0] if single else final.squeeze(0) for final in finals)
    return states if len(states) > 1 else states[0]


class _OpaqueRNN(nn.RNN):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _unrolled(self, input, hx)


class _OpaqueLSTM(nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _unrolled(self, input, hx)


class _OpaqueGRU(nn.GRU):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _unrolled(self, input, hx)


class _OpaqueRNNCell(nn.RNNCell):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _stepped(self, input, hx)


class _OpaqueLSTMCell(nn.LSTMCell):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _stepped(self, input, hx)


class _OpaqueGRUCell(nn.GRUCell):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _stepped(self, input, hx)


_OPAQUE: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: _OpaqueRNN,
    nn.LSTM: _OpaqueLSTM,
    nn.GRU: _OpaqueGRU,
    nn.RNNCell: _OpaqueRNNCell,
    nn.LSTMCell: _OpaqueLSTMCell,
    nn.GRUCell: _OpaqueGRUCell,
}
