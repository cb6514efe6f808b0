"""How well each of many answers fits a source, in torch: for validation and the figures of a run.

Notation: N sources, A answers, T the longest answer with its end symbol, V symbols.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from treadle.decoding.beam import length_penalty
from treadle.texts import TextReading
from treadle.transducer import RANKED_TOGETHER
from treadle_train.batching.bucketed import IGNORED, Pairs
from treadle_train.networks import Transducer


def rank_answers(
    network: Transducer,
    sources: Sequence[list[int]],
    answers: Sequence[str],
    target: TextReading,
    alpha: float,
) -> NDArray[np.float64]:
    """Scores [N, A] as `treadle.Transducer.rank` gives them; alpha: of the length penalty."""
    known = [target.known_ids(answer) for answer in answers]
    places = [place for place, ids in enumerate(known) if ids is not None]
    scores = np.full((len(sources), len(answers)), -np.inf)
    if not places:
        return scores
    start, end = target.vocabulary.start or 0, target.vocabulary.end or 0
    written = Pairs.of([[0]], [ids for ids in known if ids is not None], start=start, end=end)
    penalties = np.array([length_penalty(int(n), alpha) for n in written.target_lengths])
    device = network.output.weight.device
    order = np.argsort(written.target_lengths, kind="stable")
    for first in range(0, len(order), RANKED_TOGETHER):
        rows = order[first : first + RANKED_TOGETHER]
        longest = int(written.target_lengths[rows].max())
        inputs = torch.from_numpy(written.inputs[rows, :longest]).to(device)
        targets = torch.from_numpy(written.targets[rows, :longest]).to(device)
        columns = [places[index] for index in rows]
        for row, source in enumerate(sources):
            found = _likelihoods(network, source, inputs, targets)
            scores[row, columns] = found / penalties[rows]
    return scores


def _likelihoods(
    network: Transducer, source: list[int], inputs: Tensor, targets: Tensor
) -> NDArray[np.float64]:
    """The log-probability of each answer [A], its inputs and targets int64 [A, T]."""
    rows = len(inputs)
    ids, length = torch.tensor([source]), torch.tensor([len(source)])
    context, initial = network.encode(ids.to(inputs.device), length.to(inputs.device))
    spread = {name: value.expand(rows, *value.shape[1:]) for name, value in context.items()}
    first = {name: value.expand(rows, *value.shape[1:]) for name, value in initial.items()}
    state = network.initial_state(rows) | first
    logits = network.sequence(inputs, None, state, spread)[0]
    nats = functional.cross_entropy(
        logits.flatten(0, 1).double(), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    summed: NDArray[np.float64] = -nats.reshape(rows, -1).sum(dim=1).cpu().numpy()
    return summed
