"""A decoder that learns with its own mistakes before it.

Bengio, Vinyals, Jaitly & Shazeer, "Scheduled sampling for sequence prediction with recurrent neural
networks", 2015, with greedy symbols and a share that rises along a line.

Notation: B batch, T target length.
"""

import torch
from torch import Tensor

from treadle_train.batching.bucketed import PairBatch
from treadle_train.networks import Transducer


def own_inputs(network: Transducer, batch: PairBatch, share: float) -> Tensor:
    """The batch's inputs int64 [B, T], each but the first one replaced with the chance `share`.

    In its place comes the symbol that the network thinks likeliest after what it read so far, own
    symbols included, without dropout. No gradient goes through that choice, so it may be made
    ahead, step by step, and the loss then be taken in one unrolling of the inputs that came out.
    Draws from torch's random state.
    """
    own = torch.rand(batch.inputs.shape, device=batch.inputs.device) < share
    own[:, 0] = False
    if not bool(own.any()):
        return batch.inputs
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return _stepped(network, batch, own)
    finally:
        network.train(training)


def _stepped(network: Transducer, batch: PairBatch, own: Tensor) -> Tensor:
    context, initial = network.encode(batch.source, batch.source_lengths)
    state = network.initial_state(batch.source.shape[0]) | initial
    token = batch.inputs[:, 0]
    read = [token]
    for true, replaced in zip(batch.inputs.unbind(1)[1:], own.unbind(1)[1:], strict=True):
        logits, state = network.step(token, state, context)
        token = torch.where(replaced, logits.argmax(-1), true)
        read.append(token)
    return torch.stack(read, dim=1)
