"""The likelihood of RNN-T: all alignments written out, numerical gradients, padding."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from treadle.decoding.alignments import rnnt_nats as rnnt_nats_in_numpy
from treadle_train.rnnt_loss import rnnt_nats

BLANK = 1
SIZES = st.tuples(st.integers(1, 4), st.integers(0, 3))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn_symbols(seed: int, rows: int, count: int) -> Tensor:
    """Ids out of 0, 2 and 3: any but the blank."""
    draw = torch.randint(0, 3, (rows, count), generator=torch.Generator().manual_seed(seed))
    return torch.where(draw == BLANK, 3, draw)


def written_out(scores: Tensor, symbols: list[int]) -> float:
    """-log of the sum over every order of T blanks and the symbols that ends with a blank."""
    steps, total = scores.shape[0], []
    moves = steps + len(symbols)
    for places in combinations(range(moves - 1), len(symbols)):
        step, said, score = 0, 0, 0.0
        for move in range(moves):
            if move in places:
                score += float(scores[step, said, symbols[said]])
                said += 1
            else:
                score += float(scores[step, said, BLANK])
                step += 1
        total.append(score)
    return -float(np.logaddexp.reduce(total))


@given(size=SIZES, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_it_is_the_sum_over_all_alignments(size: tuple[int, int], seed: int) -> None:
    steps, count = size
    logits, symbols = drawn(seed, 1, steps, count + 1, 4), drawn_symbols(seed, 1, count)
    scores = logits.log_softmax(-1)[0]
    expected = written_out(scores, symbols[0].tolist())
    lengths, counts = torch.tensor([steps]), torch.tensor([count])
    found = rnnt_nats(logits, lengths, symbols, counts, BLANK)
    assert abs(float(found) - expected) < 1e-9
    again = rnnt_nats_in_numpy(scores.numpy(), symbols[0].tolist(), BLANK)
    assert abs(again - expected) < 1e-9


@given(sizes=st.lists(SIZES, min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_what_lies_behind_a_row_changes_nothing(sizes: list[tuple[int, int]], seed: int) -> None:
    rows = len(sizes)
    logits = drawn(seed, rows, 6, 5, 4).requires_grad_()
    symbols = drawn_symbols(seed, rows, 4)
    lengths, counts = (torch.tensor(values) for values in zip(*sizes, strict=True))
    found = rnnt_nats(logits, lengths, symbols, counts, BLANK)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    for row, (steps, count) in enumerate(sizes):
        alone = rnnt_nats(
            logits[row : row + 1, :steps, : count + 1],
            lengths[row : row + 1],
            symbols[row : row + 1, :count],
            counts[row : row + 1],
            BLANK,
        )
        assert torch.allclose(alone[0], found[row], atol=1e-12)
        assert gradient[row, :steps, : count + 1].any()
        assert not gradient[row, steps:].any()
        assert not gradient[row, :, count + 1 :].any()


def test_its_gradient_is_the_numerical_one() -> None:
    symbols, lengths, counts = drawn_symbols(3, 2, 3), torch.tensor([4, 2]), torch.tensor([2, 3])
    logits = drawn(3, 2, 4, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: rnnt_nats(x, lengths, symbols, counts, BLANK), (logits,)
    )
