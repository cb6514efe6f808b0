"""Greedy reading of utterances in torch, by the runtime's decoders of frames.

Notation: B batch, T steps, F numbers of a step.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle.decoding import CTCDecoder, RNNTDecoder
from treadle_train.networks import RNNTransducer, SpeechTransducer
from treadle_train.networks.rnnt import RNNTPredictor
from treadle_train.networks.speech_transducer import BLANK


def read_greedily(network: SpeechTransducer, x: Tensor, lengths: Tensor) -> list[list[int]]:
    """The symbols of each utterance, without blanks: x float32 [B, T, F], lengths int64 [B]."""
    encoded = network.encode(x, lengths).float().cpu().numpy()
    decoder = _decoder(network, len(x), encoded.shape[2])
    decoder.feed(encoded, lengths.cpu().numpy())
    return [list(best.ids) for [best] in decoder.final()]


def _decoder(network: SpeechTransducer, rows: int, outputs: int) -> CTCDecoder | RNNTDecoder:
    if not isinstance(network, RNNTransducer):
        return CTCDecoder(outputs, batch_size=rows, blank=BLANK)
    device = network.joiner.output.weight.device

    def join(encoded: NDArray[np.float32], predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        read = (torch.from_numpy(array).to(device) for array in (encoded, predicted))
        made: NDArray[np.float32] = network.joiner(*read).float().cpu().numpy()
        return made

    predictor = _TorchPredictor(network.predictor, rows)
    symbols = network.joiner.output.out_features
    return RNNTDecoder(predictor, join, symbols=symbols, features=outputs, blank=BLANK)


class _TorchPredictor:
    """The predictor of a network with the part of a stream that a greedy decoder uses."""

    def __init__(self, network: RNNTPredictor, batch_size: int) -> None:
        self.network, self.batch_size = network, batch_size
        self._state = network.initial_state(batch_size)

    def step(
        self, x: NDArray[np.int64], *, active: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """One symbol, `x` [B], in the rows that are active."""
        read = torch.from_numpy(x).to(self.network.output.weight.device)
        output, state = self.network.step(read, self._state)
        if active is None:
            self._state = state
        else:
            chosen = torch.from_numpy(active).to(read.device)[:, None]
            self._state = {n: torch.where(chosen, state[n], self._state[n]) for n in state}
        made: NDArray[np.float32] = output.float().cpu().numpy()
        return made

    def select(self, rows: Any) -> None:
        """Let row i go on as row `rows[i]` was."""
        index = torch.as_tensor(rows)
        self._state = {name: value[index] for name, value in self._state.items()}

    def reset(self, rows: Any = None) -> None:
        """Take rows back to their initial state."""
        fresh = self.network.initial_state(self.batch_size)
        chosen = slice(None) if rows is None else torch.as_tensor(rows)
        for name, value in self._state.items():
            value[chosen] = fresh[name][chosen]
