"""A network that learns another's answers has nothing to learn once it gives them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from treadle_train.distillation import distillation_loss


@given(st.integers(1, 4), st.integers(1, 5), st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_the_loss_is_the_cross_entropy_of_the_counted_steps(
    rows: int, steps: int, symbols: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    logits, taught = random.normal(0, 3, (2, rows, steps, symbols))
    counted = random.random((rows, steps)) < 0.6
    counted[0, 0] = True
    p = np.exp(taught) / np.exp(taught).sum(-1, keepdims=True)
    log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(p * log_q).sum(-1)[counted].mean()
    loss = distillation_loss(torch.tensor(logits), torch.tensor(taught), torch.tensor(counted))
    assert abs(float(loss) - expected) <= 1e-5 * max(1.0, expected)


def test_the_gradient_is_zero_where_the_answers_are_the_teachers() -> None:
    taught = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    logits = (taught + 1.5).requires_grad_()  # a softmax does not see what is added to all
    loss = distillation_loss(logits, taught, torch.ones(2, 3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(gradient.abs().max()) < 1e-6
