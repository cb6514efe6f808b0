"""The random draws of an epoch: they depend on (seed, epoch, batch) and on nothing else."""

import numpy as np
import torch
from torch import Tensor


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """A generator that gives the same draws whenever this epoch of this run is (re)started."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch]))


def batch_seed(seed: int, step: int, rank: int) -> int:
    """What torch draws from in a batch, as for dropout: in each process something else."""
    alone = (seed << 32) + step
    if rank == 0:
        return alone
    return int(np.random.SeedSequence([alone, rank]).generate_state(1, np.uint64)[0])


def with_unknowns(ids: Tensor, rate: float, unknown: int, draw: int) -> Tensor:
    """Replace a share `rate` of `ids` (int64, any shape) by `unknown`, chosen by the seed `draw`.

    So the unknown symbol learns to stand for a symbol that training has not seen.
    """
    if not rate:
        return ids
    chance = np.random.Generator(np.random.Philox(key=draw)).random(tuple(ids.shape))
    return ids.masked_fill(torch.from_numpy(chance < rate), unknown)
