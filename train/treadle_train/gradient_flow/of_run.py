"""The gradient flow of a trained run, over rows of its validation split.

Notation: B batch, T time.
"""

import numpy as np
from torch import Tensor
from torch.nn import functional

from treadle.errors import DataError
from treadle_train.batching.bucketed import Ids, PairBatch, Pairs
from treadle_train.batching.conditioned import ConditionedBatch
from treadle_train.gradient_flow.copy_task import last_loss
from treadle_train.gradient_flow.flow import Flow, gradient_flow
from treadle_train.networks import Generator, LanguageModel, Network, Transducer
from treadle_train.run import Run
from treadle_train.tasks import Generation, LanguageModelling, Transduction, open_task

ROWS = 64


def flow_of_run(run: Run) -> tuple[list[Flow], int]:
    """(Flows of every layer, rows they are the mean of), for the loss of each row's last symbol.

    A language model reads as many steps as a batch of its training had; a transducer words of one
    length with answers of one length, a generator sequences of one length, those of which the
    validation split has most symbols. Raises DataError when the data is missing or has changed, and
    for the run of another task.
    """
    task = open_task(run.recipe, run.dataset())
    if isinstance(task, LanguageModelling):
        batch = task.validation_batches()[0]
        inputs, answers = batch.inputs[:ROWS], batch.targets[:ROWS, -1]
        return gradient_flow(run.network, lambda n: _of_model(n, inputs, answers)), len(inputs)
    if isinstance(task, Transduction):
        pairs = _alike(task.validation_pairs())
        return gradient_flow(run.network, lambda n: _of_transducer(n, pairs)), len(pairs.source)
    if isinstance(task, Generation):
        rows = task.validation
        written = rows.batch(_most(rows.lengths[:, None]))
        flows = gradient_flow(run.network, lambda n: _of_generator(n, written))
        return flows, len(written.inputs)
    raise DataError(f"The run {run.path} has a task whose gradients cannot be followed.")


def _of_model(network: Network, inputs: Tensor, answers: Tensor) -> Tensor:
    if not isinstance(network, LanguageModel):
        raise TypeError(f"Expected a LanguageModel, got {type(network).__name__}.")
    return last_loss(network, inputs, answers)


def _of_transducer(network: Network, batch: PairBatch) -> Tensor:
    """Cross-entropy float32 [B] of the last target symbol, the end."""
    if not isinstance(network, Transducer):
        raise TypeError(f"Expected a Transducer, got {type(network).__name__}.")
    context, initial = network.encode(batch.source, batch.source_lengths)
    state = network.initial_state(batch.source.shape[0]) | initial
    logits, _ = network.sequence(batch.inputs, None, state, context)
    return functional.cross_entropy(logits[:, -1], batch.targets[:, -1], reduction="none")


def _of_generator(network: Network, batch: ConditionedBatch) -> Tensor:
    """Cross-entropy float32 [B] of the last symbol, the end."""
    if not isinstance(network, Generator):
        raise TypeError(f"Expected a Generator, got {type(network).__name__}.")
    context, initial = network.given(batch.given)
    state = network.initial_state(len(batch.inputs)) | initial
    logits, _ = network.sequence(batch.inputs, None, state, context)
    return functional.cross_entropy(logits[:, -1], batch.targets[:, -1], reduction="none")


def _alike(pairs: Pairs) -> PairBatch:
    """Up to ROWS pairs of one source length and one target length."""
    return pairs.batch(_most(np.stack([pairs.source_lengths, pairs.target_lengths], axis=1)))


def _most(lengths: Ids) -> Ids:
    """Up to ROWS rows of equal lengths [N, K], those that have most symbols together."""
    kinds, kind, counts = np.unique(lengths, axis=0, return_inverse=True, return_counts=True)
    most = int((counts * kinds.sum(axis=1)).argmax())
    return np.flatnonzero(kind.reshape(-1) == most)[:ROWS]
