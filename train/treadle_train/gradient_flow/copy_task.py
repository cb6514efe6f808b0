"""A task that only memory solves: the first symbol is to be said again after many others.

The simplest of the tasks with long time lags of Hochreiter & Schmidhuber, "Long short-term memory",
1997. Notation: B batch, T = lag + 1 steps.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from treadle_train.networks import LanguageModel


@dataclass(frozen=True)
class CopyTask:
    """One of `symbols` symbols, then `lag` draws of as many others, which mean nothing."""

    lag: int
    symbols: int = 4

    @property
    def vocabulary_size(self) -> int:
        """Symbols that are asked for, and those in between."""
        return 2 * self.symbols

    def batch(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs int64 [B, T], and the first symbol of each row int64 [B], the answer."""
        inputs = torch.randint(
            self.symbols, self.vocabulary_size, (rows, self.lag + 1), generator=generator
        )
        answers = torch.randint(self.symbols, (rows,), generator=generator)
        inputs[:, 0] = answers
        return inputs, answers


def last_loss(network: LanguageModel, inputs: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy in nats float32 [B] of what follows the last of the inputs [B, T]."""
    logits, _ = network.sequence(inputs, None, network.initial_state(inputs.shape[0]))
    return functional.cross_entropy(logits[:, -1], answers, reduction="none")


def learn(
    network: LanguageModel,
    task: CopyTask,
    *,
    steps: int,
    seed: int = 0,
    rate: float = 0.01,
    rows: int = 32,
) -> float:
    """Train `network` on new draws of the task, with Adam and clipped gradients; the last loss."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    network.train()
    value = float("nan")
    for _ in range(steps):
        loss = last_loss(network, *task.batch(rows, generator)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        value = loss.item()
    return value
