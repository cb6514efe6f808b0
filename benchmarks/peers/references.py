"""What is right: PyTorch's float32 logits, and how far rounded weights alone move them.

int8 rounds each row of a matrix to 127 levels either way, int4 blocks of 32 inputs to 7.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.judging import rounding_name
from benchmarks.peers.models import encoder_of, example_of, module_of
from benchmarks.peers.workloads import (
    REFERENCE,
    WEIGHTS,
    Ids,
    Weights,
    Workload,
    folder_of,
    reference_tokens,
    seeded_weights,
    source_tokens,
)

LOGITS_STD = 2.0
LEVELS = {"int8": 127, "int4": 7}
BLOCKS = {"int8": None, "int4": 32}
"""Inputs that share a scale; None for all of a row."""


def answers(
    workload: Workload, cell: str, weights: Weights, tokens: Ids, memory: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Logits of tokens that are read one after the other: [T, B, V], of a tagger [T, tags]."""
    module = module_of(workload, cell, weights)
    with torch.inference_mode():
        if workload.kind == "tagger":
            (logits,) = module(torch.from_numpy(tokens))
            return np.asarray(logits)
        _, *carried = example_of(workload, cell)
        attended = [] if memory is None else [torch.from_numpy(memory)]
        states = carried[: len(carried) - len(attended)]
        made = []
        for row in torch.from_numpy(tokens):
            logits, *states = module(row, *states, *attended)
            made.append(np.asarray(logits))
        return np.stack(made)


def memory_of(workload: Workload, cell: str, weights: Weights) -> NDArray[np.float32] | None:
    """What a decoder attends to, [S, H]."""
    if workload.kind != "decoder":
        return None
    with torch.inference_mode():
        encoder = encoder_of(workload, cell, weights)
        return np.asarray(encoder(torch.from_numpy(source_tokens(workload))))


def rounded(weights: Weights, precision: str) -> Weights:
    """Every matrix [N, K] rounded to the levels of a precision; vectors stay as they are."""
    return {
        name: _levels(array, LEVELS[precision], BLOCKS[precision] or array.shape[-1])
        if array.ndim == 2
        else array
        for name, array in weights.items()
    }


def _levels(matrix: NDArray[np.float32], levels: int, block: int) -> NDArray[np.float32]:
    made = np.empty_like(matrix)
    for start in range(0, matrix.shape[1], block):
        part = matrix[:, start : start + block]
        scale = np.abs(part).max(axis=1, keepdims=True) / levels
        scale[scale == 0] = 1
        made[:, start : start + block] = np.rint(part / scale) * scale
    return made


def prepare(workload: Workload, cell: str) -> None:
    """Write the weights and the reference into the workload's folder."""
    folder = folder_of(workload, cell)
    folder.mkdir(parents=True, exist_ok=True)
    weights, tokens = seeded_weights(workload, cell), reference_tokens(workload)
    memory = memory_of(workload, cell, weights)
    first = answers(workload, cell, weights, tokens, memory)
    for name in ("output.weight", "output.bias"):
        weights[name] *= np.float32(LOGITS_STD / first.std())
    right = answers(workload, cell, weights, tokens, memory)
    np.savez(folder / WEIGHTS, allow_pickle=False, **weights)
    arrays: dict[str, NDArray[Any]] = {"tokens": tokens, "logits": right}
    if memory is not None:
        arrays |= {"memory": memory, "source": source_tokens(workload)}
    for precision in LEVELS:
        # The memory is given to all, so it is not rounded either.
        coarse = answers(workload, cell, rounded(weights, precision), tokens, memory)
        arrays[rounding_name(precision)] = np.abs(coarse - right).max()
    np.savez(folder / REFERENCE, allow_pickle=False, **arrays)
