"""The processes of one training: which of them this is, and what they tell each other."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed

from treadle.errors import RecipeError, TrainingError, TreadleError
from treadle_train.recipe import Recipe
from treadle_train.sections.training import TrainingSection

T = TypeVar("T")

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""By accelerator: what carries gradients from process to process; figures are always the CPU's."""


@dataclass(frozen=True)
class Group:
    """This process among those that train together; alone, nothing that is asked here waits.

    rank: 0 for the first, which alone writes; count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks to a person."""
        return self.rank == 0

    def mean(self, value: float, weight: int) -> tuple[float, int]:
        """(The mean of every process's `value` by its `weight`, the sum of weights)."""
        if self.count == 1:
            return value, weight
        sums = torch.tensor([value * weight, weight], dtype=torch.float64)
        distributed.all_reduce(sums)
        return sums[0].item() / sums[1].item(), int(sums[1].item())

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process; all hear the same."""
        if self.count == 1:
            return flag
        raised = torch.tensor(int(flag))
        distributed.all_reduce(raised, distributed.ReduceOp.MAX)
        return bool(raised.item())

    def gathered(self, value: T) -> list[T]:
        """Every process's value, in the order of ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Go on when all have come here."""
        self.any(False)

    def from_first(self, ask: Callable[[], T]) -> T:
        """What `ask` returns in the first process, in every one; so with errors of the tree."""
        if self.count == 1:
            return ask()
        said: list[Any] = [None, None]
        if self.first:
            try:
                said[0] = ask()
            except (TreadleError, OSError) as error:
                said[1] = error
        distributed.broadcast_object_list(said)
        value, failed = said
        if failed is not None:
            raise failed
        answer: T = value
        return answer


def process_count(section: TrainingSection) -> int:
    """How many processes the recipe asks for, on all machines together."""
    return section.devices * section.num_nodes


def started_outside() -> bool:
    """Whether torchrun, or `launching`, has started this process as one of a group."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def this_process() -> Group:
    """This process by what torchrun, or `launching`, has told it; alone where neither did."""
    if not started_outside():
        return Group()
    return Group(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def joined(recipe: Recipe) -> Iterator[Group]:
    """This process among the others, which have all come to this place.

    Raises RecipeError when there are others than the recipe asks for, and TrainingError when one of
    them ends before its time.
    """
    group, asked = this_process(), process_count(recipe.training)
    if group.count != asked:
        raise RecipeError(
            f"training.devices × training.num_nodes are {asked} processes, but torchrun has "
            f"started {group.count}; give training.devices as many as run on each machine "
            "(--nproc-per-node), and training.num_nodes as there are machines (--nnodes)."
        )
    if group.count == 1:
        yield group
        return
    with _others_stay():
        ours = not distributed.is_initialized()
        if ours:
            distributed.init_process_group(BACKENDS[recipe.training.accelerator])
        try:
            yield group
        finally:
            if ours:
                distributed.destroy_process_group()


@contextmanager
def _others_stay() -> Iterator[None]:
    """Say in our words when another process has gone."""
    try:
        yield
    except RuntimeError as error:  # Gloo has no class of its own for it
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error).lower():
            raise
        raise TrainingError(
            "Another process of this training has ended or cannot be reached, so this one ends, "
            "too. Its own message says why. The last checkpoint is whole: --resume goes on from it."
        ) from error
