"""The random generator of an epoch: its draws depend on (seed, epoch) and on nothing else."""

import numpy as np


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """A generator that gives the same draws whenever this epoch of this run is (re)started."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch]))
