"""Padding changes nothing: loss, gradient and output of rows alone and padded in a batch agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train.tiny import tiny_transducer
from treadle.texts import TextReading
from treadle.tolerances import tolerance
from treadle.vocabulary import Vocabulary
from treadle_train.batching.bucketed import Pairs
from treadle_train.modules.transduction import TransducerModule
from treadle_train.networks import Transducer
from treadle_train.recipe import TransducerRecipe

if TYPE_CHECKING:
    from collections.abc import Callable

SAME = tolerance("torch step", "float32").absolute

PAIRS = Pairs.of(
    [[3, 4, 5, 6, 7], [8], [4, 4, 3]], [[5], [6, 7, 3, 4, 5, 6], [3, 3]], start=1, end=2
)


TARGET = TextReading(Vocabulary(("_", "(", ")", *"abcde"), "symbols", padding=0, start=1, end=2))


def module(cell: str, attention: str) -> TransducerModule:
    recipe = tiny_transducer("training.label_smoothing=0.1")
    assert isinstance(recipe, TransducerRecipe)
    torch.manual_seed(7)
    network = Transducer(9, 8, 6, 8, cell=cell, attention=attention)
    return TransducerModule(network, recipe, 10, TARGET).eval()


def gradients(made: TransducerModule, rows: list[int]) -> tuple[float, int, list[Tensor]]:
    """Summed loss, number of symbols, summed gradient of one batch."""
    made.zero_grad()
    loss, symbols = made.loss(PAIRS.batch(np.array(rows)))
    (loss * symbols).backward()  # type: ignore[no-untyped-call]
    return (
        loss.item() * symbols,
        symbols,
        [p.grad.clone() for p in made.network.parameters() if p.grad is not None],
    )


def taught(cell: str, attention: str) -> TransducerModule:
    """A module that learns the answers of another network."""
    made = module(cell, attention).train()
    torch.manual_seed(8)
    made.teachers = [Transducer(9, 8, 6, 8, cell=cell, attention=attention).eval()]
    return made


@pytest.mark.parametrize("make", [module, taught])
@pytest.mark.parametrize("attention", ["general", "additive", "fixed"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-reset-before", "elman"])
def test_loss_and_gradient_of_a_padded_batch_are_those_of_its_rows(
    cell: str, attention: str, make: Callable[[str, str], TransducerModule]
) -> None:
    made = make(cell, attention)
    alone = [gradients(made, [row]) for row in range(3)]
    loss, symbols, together = gradients(made, [0, 1, 2])
    assert symbols == sum(row[1] for row in alone)
    assert loss == pytest.approx(sum(row[0] for row in alone), rel=SAME)
    for index, gradient in enumerate(together):
        summed = torch.stack([row[2][index] for row in alone]).sum(0)
        assert (gradient - summed).abs().max() <= SAME * max(1.0, float(summed.abs().max()))


def test_what_is_written_into_padding_does_not_matter() -> None:
    made = module("lstm", "general")
    batch = PAIRS.batch(np.array([0, 1, 2]))
    garbled = batch._replace(
        source=torch.where(batch.source == 0, 5, batch.source),
        inputs=torch.where(batch.targets == -100, 4, batch.inputs),
    )
    assert not torch.equal(garbled.source, batch.source)
    assert not torch.equal(garbled.inputs, batch.inputs)
    assert torch.equal(made.loss(garbled)[0], made.loss(batch)[0])
