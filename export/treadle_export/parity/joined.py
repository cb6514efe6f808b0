"""The predictor and the joiner of an RNN-T, which no trace of frames goes through.

Notation: N steps of the encoder, M symbols, J joint size, V symbols with the blank.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from treadle.ladder import Rung, compare
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine
from treadle_export.parity.origin import Carried, Floats
from treadle_train.networks import Network, RNNTransducer


@dataclass(frozen=True, slots=True)
class Joined:
    """What torch makes of symbols [M], and of steps of the encoder together with them.

    predictor: one step from each of its states, carried. read: what the joiner reads, [N, J] each;
    logits: what it gives, [N, V].
    """

    symbols: NDArray[np.int64]
    predictor: Carried
    read: tuple[Floats, Floats]
    logits: Floats


@torch.no_grad()
def joined_by(network: Network, symbols: NDArray[np.int64], encoded: Floats) -> Joined | None:
    """The same of a network that has a predictor and a joiner, with encoded steps [N, J]."""
    if not isinstance(network, RNNTransducer):
        return None
    outputs, states = [], [network.predictor.initial_state(1)]
    for symbol in torch.from_numpy(symbols):
        output, state = network.predictor.step(symbol[None], states[-1])
        outputs.append(output[0].numpy())
        states.append(state)
    carried = Carried.of(outputs, [{n: t.numpy() for n, t in state.items()} for state in states])
    predicted = carried.outputs[np.arange(len(encoded)) % len(symbols)]
    logits = network.joiner(torch.from_numpy(encoded), torch.from_numpy(predicted))
    return Joined(symbols, carried, (encoded, predicted), logits.numpy())


def joined_rungs(model: CanonicalModel, precision: str, joined: Joined) -> tuple[Rung, ...]:
    """Both graphs of a lowered model against torch: one step from each of its states."""
    predictor, joiner = model.graphs["predictor"], model.graphs["joiner"]
    before, after = joined.predictor.before, joined.predictor.after
    feeds: Arrays = {f"state.{name}": array for name, array in before.items()}
    feeds[predictor.interface.inputs[0].name] = joined.symbols
    stepped = Engine(predictor.model).run(feeds)
    names = [tensor.name for tensor in joiner.interface.inputs]
    result = Engine(joiner.model).run(dict(zip(names, joined.read, strict=True)))
    logits = result[joiner.interface.outputs[0].name]
    quantized = "" if precision == "float32" else "quantized "
    return (
        compare(
            f"{quantized}predictor",
            precision,
            states=[(after[name], stepped[f"next_state.{name}"]) for name in after],
            outputs=[(joined.predictor.outputs, stepped[predictor.interface.outputs[0].name])],
        ),
        compare(
            f"{quantized}joiner",
            precision,
            outputs=[(joined.logits, logits)],
            choices=(joined.logits.argmax(-1), logits.argmax(-1)),
        ),
    )
