"""Replays a bundle's golden trace on this device, and probes what its manifest promises.

Needs numpy and onnxruntime alone. Rungs that need torch are reported as the exporter recorded them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import BundleError, TreadleError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.invariance import flat_rows, judged_as, probe
from treadle.ladder import Rung, compare
from treadle.speech_transducer import SpeechTransducer
from treadle.state import Snapshot
from treadle.tolerances import processor_of
from treadle.whole_check import replayed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.model import Model
    from treadle.stream import Stream


@dataclass(frozen=True, slots=True)
class Report:
    """The parity ladder, and how much rows and chunks feel of each other on this device."""

    rungs: tuple[Rung, ...]
    invariance: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every rung is within its tolerance."""
        return all(rung.passed for rung in self.rungs)

    def to_json(self) -> dict[str, Any]:
        """`passed`, `rungs` and `invariance` as a JSON object."""
        rungs = [rung.to_json() for rung in self.rungs]
        return {"passed": self.passed, "rungs": rungs, "invariance": self.invariance}


def verify(model: Model) -> Report:
    """Replays the golden trace through `Stream`, or `read`, and probes rows and chunks.

    Raises:
        BundleError: the bundle has no golden trace, or one that does not fit its graphs.
    """
    golden = _golden(model)
    recorded, promised = _recorded(model)
    try:
        rungs, figures = _replayed(model, golden)
    except TreadleError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
        # Whatever its arrays are, they were made by a stranger; these are numpy's words for that.
        raise BundleError(
            f"expected a golden trace of the graphs of {model.manifest.name!r} in {GOLDEN_FILE}, "
            f"got one that does not fit them ({error}); export the bundle again"
        ) from error
    names = {rung.name for rung in rungs}
    kept = [rung for rung in recorded if rung.name not in names]
    return Report((*kept, *rungs), {**figures, "promised": promised})


def _replayed(model: Model, golden: Golden) -> tuple[list[Rung], dict[str, Any]]:
    """The rungs that this device climbs itself, and how much rows and chunks feel of each other."""
    if "step" not in model.manifest.graphs:
        rungs = replayed(model, golden)
        return rungs, {"batch": rungs[-1].max_abs, "chunk": None}
    measured = probe(model, golden)
    rungs = [_stream_rung(model, golden), *_parts(model, golden), *measured.rungs]
    return rungs, {"batch": measured.batch, "chunk": measured.chunk}


def _recorded(model: Model) -> tuple[list[Rung], bool]:
    """The exporter's rungs, and whether it promised exactness.

    Raises:
        BundleError: the evidence is not what an exporter writes.
    """
    evidence = model.manifest.evidence
    try:
        rungs = [Rung.from_json(rung) for rung in evidence.get("parity", {}).get("rungs", [])]
        promised = evidence.get("invariance", {}).get("promised", False)
    except (AttributeError, TypeError, ValueError) as error:
        raise BundleError(
            f"expected the rungs of a parity ladder in evidence.parity, got something else "
            f"({error}); export the bundle again"
        ) from error
    if not isinstance(promised, bool):
        raise BundleError(f"evidence.invariance.promised should be true or false, got {promised!r}")
    return rungs, promised


def _golden(model: Model) -> Golden:
    if GOLDEN_FILE not in model.manifest.files:
        raise BundleError(
            f"expected a golden trace {GOLDEN_FILE} in the bundle {model.manifest.name!r}, got "
            f"none; export it again to prove it here"
        )
    return Golden.from_bytes(model.bundle.read(GOLDEN_FILE))


def _parts(model: Model, golden: Golden) -> list[Rung]:
    """An RNN-T's predictor and joiner, of a bundle that recorded them."""
    if not golden.parts or not isinstance(model, SpeechTransducer):
        return []
    known, joiner = golden.parts["predictor"], golden.parts["joiner"]
    logits = model.join(*np.split(joiner.inputs, 2, axis=1))
    stage, precision = _stage(model)
    joined = compare(
        "stream joiner",
        precision,
        outputs=[(joiner.outputs[stage], logits[:, joiner.columns])],
        choices=(joiner.choices[stage], logits.argmax(-1)),
        source="replayed",
        processor=processor_of(model.manifest.target, model.hardware.kind),
    )
    return [_stream_rung(model.predictor, known, "stream predictor"), joined]


def _stage(model: Model) -> tuple[str, str]:
    """Whose recorded outputs are replayed, and the precision that is judged."""
    precision = judged_as(model.manifest)
    return ("torch" if precision == "float32" else "bundle"), precision


def _stream_rung(model: Model, golden: Golden, name: str = "stream") -> Rung:
    """float32: carried from the start. Quantized: one step from each recorded state, and flips."""
    stage, precision = _stage(model)
    with _stream(model, golden) as stream:
        choices, outputs, states = _carried(stream, golden)
    if precision != "float32":
        outputs, states = _stepped(model, golden)
        expected = golden.next_state
    else:
        expected = golden.state
    return compare(
        name,
        precision,
        states=[(expected[name], states[name]) for name in expected],
        outputs=[(golden.outputs[stage], outputs)],
        choices=(golden.choices[stage], choices) if golden.choices else None,
        source="replayed",
        processor=processor_of(model.manifest.target, model.hardware.kind),
    )


def _stream(model: Model, golden: Golden) -> Stream:
    return model.stream(golden.source[None]) if golden.source.size else model.stream()


def _carried(
    stream: Stream, golden: Golden
) -> tuple[NDArray[np.int64], NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """All steps: the arg-max of each, sampled outputs and the state before each checkpoint."""
    choices = np.empty(len(golden.inputs), np.int64)
    outputs, states = [], []
    checkpoints = set(golden.checkpoints.tolist())
    for step, token in enumerate(golden.inputs):
        if step in checkpoints:
            states.append(stream.state())
        [row] = flat_rows(stream.step(token[None]))
        choices[step] = row.argmax()
        if step in checkpoints:
            outputs.append(row[golden.columns])
    joined = {name: np.stack([state[name][0] for state in states]) for name in golden.state}
    return choices, np.stack(outputs), joined


def _stepped(
    model: Model, golden: Golden
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """One step from each recorded state: sampled outputs and the state after it."""
    outputs, states = [], []
    with _stream(model, golden) as stream:
        start = stream.snapshot()
        for position, step in enumerate(golden.checkpoints):
            state = {name: array[position][None] for name, array in golden.state.items()}
            stream.restore(Snapshot(start.digest, state, start.context, start.steps))
            [row] = flat_rows(stream.step(golden.inputs[step][None]))
            outputs.append(row[golden.columns])
            states.append(stream.state())
    joined = {name: np.stack([state[name][0] for state in states]) for name in golden.state}
    return np.stack(outputs), joined
