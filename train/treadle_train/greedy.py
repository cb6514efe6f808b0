"""Greedy decoding in torch, for validation and for the figures of a run.

Notation: B batch, S source length.
"""

import torch
from torch import Tensor

from treadle_train.networks import Transducer


def decode_greedily(
    network: Transducer,
    source: Tensor,
    source_lengths: Tensor,
    start: int,
    end: int,
    max_length: int,
) -> list[list[int]]:
    """The most likely symbol at each step until `end`, at most `max_length` of them.

    source int64 [B, S], source_lengths int64 [B]; returns B lists of ids without special symbols.
    """
    rows = source.shape[0]
    context, initial = network.encode(source, source_lengths)
    state = network.initial_state(rows) | initial
    token = torch.full((rows,), start, dtype=torch.int64)
    running = torch.ones(rows, dtype=torch.bool)
    chosen = []
    for _ in range(max_length):
        logits, state = network.step(token, state, context)
        token = logits.argmax(-1)
        running = running & (token != end)
        if not bool(running.any()):
            break
        chosen.append(torch.where(running, token, end))
    if not chosen:
        return [[] for _ in range(rows)]
    table = torch.stack(chosen, dim=1).tolist()
    return [row[: row.index(end)] if end in row else row for row in table]
