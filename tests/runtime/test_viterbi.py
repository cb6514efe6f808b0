"""Viterbi and the training of its field against all sequences of tags, written out."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from treadle.decoding.viterbi import TagScores, best_tags, tag_nats
from treadle.errors import InputError
from treadle.spans import forbidden_moves
from treadle_train.networks.crf import ConditionalRandomField


def field(tags: int, random: np.random.Generator) -> TagScores:
    return TagScores(
        random.normal(size=(tags, tags)), random.normal(size=tags), random.normal(size=tags)
    )


def score(tags: tuple[int, ...], emissions: NDArray[np.float64], scores: TagScores) -> float:
    total = scores.first[tags[0]] + scores.last[tags[-1]]
    total += sum(emissions[t, tag] for t, tag in enumerate(tags))
    return float(total + sum(scores.transitions[a, b] for a, b in pairwise(tags)))


SIZES = {
    "tags": st.integers(1, 4),
    "lengths": st.lists(st.integers(1, 5), min_size=1, max_size=4),
    "seed": st.integers(0, 2**16),
}


@given(**SIZES)
def test_the_best_of_all_sequences(tags: int, lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = field(tags, random)
    emissions = random.normal(size=(len(lengths), max(lengths), tags))
    padded = np.where(np.arange(max(lengths))[None, :, None] < np.array(lengths)[:, None, None],
                      emissions, np.nan)  # fmt: skip
    paths, totals = best_tags(padded, np.array(lengths), scores)
    for row, length in enumerate(lengths):
        every = product(range(tags), repeat=length)
        best = max(every, key=lambda path: score(path, emissions[row], scores))
        assert tuple(paths[row, :length]) == best
        assert not paths[row, length:].any()
        assert totals[row] == pytest.approx(score(best, emissions[row], scores))


@given(**SIZES)
def test_likelihoods_of_all_sequences_sum_to_one(tags: int, lengths: list[int], seed: int) -> None:
    """And each is exp of its score over their sum, whatever is written where it is padded."""
    random = np.random.default_rng(seed)
    scores, length = field(tags, random), lengths[0]
    emissions = random.normal(size=(length, tags))
    every = list(product(range(tags), repeat=length))
    crf = ConditionalRandomField(tags)
    crf.load_state_dict(
        {
            name: torch.tensor(getattr(scores, name), dtype=torch.float32)
            for name in ("transitions", "first", "last")
        }
    )
    padded = torch.full((len(every), length + 2, tags), 1e3)
    padded[:, :length] = torch.tensor(emissions, dtype=torch.float32)
    paths = torch.full((len(every), length + 2), tags - 1)
    paths[:, :length] = torch.tensor(every)
    nats = crf(padded, paths, torch.full((len(every),), length)).detach().double().numpy()
    totals = np.array([score(path, emissions, scores) for path in every])
    np.testing.assert_allclose(nats, np.log(np.exp(totals).sum()) - totals, atol=2e-5)
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-4)


def test_minus_infinity_forbids() -> None:
    never = TagScores(np.array([[0.0, -np.inf], [0.0, 0.0]]), np.zeros(2), np.zeros(2))
    emissions = np.array([[[1.0, 0.0], [0.0, 5.0]]])
    paths, _ = best_tags(emissions, np.array([2]), never)
    assert paths.tolist() == [[1, 1]]


@given(length=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_forbidden_moves_have_no_probability_and_are_never_chosen(length: int, seed: int) -> None:
    """The loss and the search against all sequences of BIO tags that there are, written out."""
    tags = ["B-a", "B-b", "I-a", "I-b", "O"]
    forbidden = forbidden_moves(tags)
    assert forbidden is not None
    random, crf = np.random.default_rng(seed), ConditionalRandomField(5)
    emissions = 3 * random.normal(size=(length, 5)).astype(np.float32)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.from_numpy(random.normal(size=tuple(parameter.shape))))
        crf.forbid(*map(torch.from_numpy, forbidden))
    scores = TagScores(*(part.detach().numpy() for part in crf.parameters()))
    every = [
        path
        for path in product(range(5), repeat=length)
        if not forbidden[1][path[0]] and not any(forbidden[0][a, b] for a, b in pairwise(path))
    ]
    totals = np.array([score(path, emissions.astype(np.float64), scores) for path in every])
    whole = np.log(np.exp(totals - totals.max()).sum()) + totals.max()
    batch = torch.from_numpy(emissions).expand(len(every), -1, -1)
    lengths = torch.full((len(every),), length)
    nats = crf(batch, torch.tensor(every), lengths).detach().numpy()
    np.testing.assert_allclose(nats, whole - totals, atol=2e-5)
    [best], _ = best_tags(emissions[None], np.array([length]), scores)
    assert tuple(best) == every[int(totals.argmax())]


@pytest.mark.parametrize(
    ("shape", "lengths", "words"),
    [
        ((2, 3, 4), [3, 3], r"expected emissions \[batch, time, 2\], got \[2, 3, 4\]"),
        ((0, 3, 2), [], "expected emissions"),
        ((2, 3, 2), [3, 0], "expected a length in 1..3 for each of 2 rows"),
        ((2, 3, 2), [4, 1], "expected a length in 1..3"),
        ((2, 3, 2), [3], "expected a length in 1..3"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int], lengths: list[int], words: str) -> None:
    scores = TagScores(np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    with pytest.raises(InputError, match=words):
        best_tags(np.zeros(shape), np.array(lengths, np.int64), scores)


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="of the same N tags"):
        TagScores(np.zeros((2, 3)), np.zeros(2), np.zeros(2))
    with pytest.raises(InputError, match="got NaN"):
        TagScores(np.full((2, 2), np.nan), np.zeros(2), np.zeros(2))


@given(**SIZES)
def test_nats_are_those_of_training(tags: int, lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    emissions = random.normal(size=(len(lengths), max(lengths), tags)).astype(np.float32)
    right = random.integers(0, tags, emissions.shape[:2])
    crf = ConditionalRandomField(tags)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.from_numpy(random.normal(size=tuple(parameter.shape))))
        ours = crf(torch.from_numpy(emissions), torch.from_numpy(right), torch.tensor(lengths))
        scores = TagScores(*(part.numpy() for part in (crf.transitions, crf.first, crf.last)))
    nats = tag_nats(emissions, right, np.array(lengths), scores)
    assert nats == pytest.approx(ours.numpy(), abs=1e-4)
