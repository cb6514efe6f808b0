"""A screened head: whether a model can have one, its rung of the ladder, and how often it errs."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import treadle
from treadle.data import open_dataset
from treadle.errors import ExportError
from treadle.evaluation import check_digest
from treadle.golden import GOLDEN_FILE, Golden
from treadle.invariance import flat_rows
from treadle.ladder import Rung, compare
from treadle.manifest import TASKS
from treadle.model import Model
from treadle_export.canonical import CanonicalGraph, CanonicalModel
from treadle_export.parity.ladder import Climbed, carry, refuse_failed, started_by
from treadle_export.parity.origin import Carried
from treadle_export.parity.trace import Trace
from treadle_export.passes.products import MOVES, bias_of, is_product, product_name
from treadle_export.passes.rewriting import constant_array, given
from treadle_export.passes.screen_head import Screen
from treadle_export.quantization.precision import Precision
from treadle_export.quantization.quantizer import Quantizer
from treadle_export.quantization.weight_plan import INTEGER_BITS, WeightPlan

LEAST_SYMBOLS = 16
"""Symbols that a head needs for each candidate: with fewer, choosing costs what rescoring saves."""

SYMBOLS = 5_000
"""Of the test split, on which the screened head is compared with the whole one by default."""

_TOP = 5
_CHUNK = 256  # steps of one call


def screen_of(
    model: CanonicalModel, precision: Precision, exceptions: Mapping[str, str], candidates: int
) -> Screen:
    """How the head of a model is screened in a precision.

    Candidates are rescored in int8, or in float32 where `exceptions` leave the head's weights so.

    Raises:
        ExportError: there is no linear head with enough symbols, or the precision has no integers.
    """
    name, symbols = _head(model.graphs["step"])
    if not 1 <= candidates * LEAST_SYMBOLS <= symbols:
        raise ExportError(
            f"expected between 1 and {symbols // LEAST_SYMBOLS} candidates of a screened head: "
            f"{LEAST_SYMBOLS} symbols for each of them, of which {name!r} has {symbols}; got "
            f"{candidates}. Screening pays with thousands of symbols; export without it"
        )
    chosen = WeightPlan(precision.name, exceptions).precision_of(name)
    if chosen == "float32" and precision.name != "float32":
        return Screen(name, candidates, "float32")
    if chosen not in INTEGER_BITS or precision.name == "int8-tensorwise":
        raise ExportError(
            f"expected a precision of integers by rows or blocks for a screened head, got "
            f"{precision.name}; export int8 or int4, with a plan that leaves {name!r} in float32 "
            f"if it should be rescored so"
        )
    return Screen(name, candidates, "int8")


def _head(step: CanonicalGraph) -> tuple[str, int]:
    """Name and number of symbols of the product that makes the only output."""
    outputs = step.interface.outputs
    ports = {value.name: value for value in step.model.graph.outputs}
    node = ports[outputs[0].name].producer() if len(outputs) == 1 else None
    while node is not None and not is_product(node):
        if node.op_type in MOVES | {"Identity", "Reshape"}:
            node = given(node, 0).producer()
        elif node.op_type == "Add" and (bias := bias_of(node)) is not None:
            node = next(value for value in node.inputs if value is not bias and value).producer()
        else:
            node = None
    array = None if node is None else constant_array(given(node, 1))
    if node is None or array is None:
        raise ExportError(
            "expected a model whose only output is a product with constant weights, to screen it; "
            "got another; export without --screen-head"
        )
    return product_name(given(node, 1)), int(array.shape[1])


@dataclass(frozen=True, slots=True)
class Screening:
    """A screened head within an export.

    exceptions: those asked for, and the precision in which the head is rescored.
    """

    screen: Screen
    quantizer: Quantizer
    precision: Precision
    exceptions: dict[str, str]

    @property
    def promise(self) -> Precision:
        """The precision, without the promise that 4-bit estimates do not feel their company."""
        return replace(self.precision, invariant=False)

    def plan(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """The plan of a bundle, and how its head is screened."""
        return {**plan, "head": self.screen.to_json()}

    def lowered(
        self, whole: CanonicalModel, base: Carried, trace: Trace
    ) -> tuple[CanonicalModel, Rung, Carried]:
        """The screened graphs, their rung, and the trace as they carry it; `base`: as `whole` does.

        Raises:
            ParityError: a state is another, or logits are too far away.
        """
        model = self.quantizer.lowered(self.precision, self.exceptions, screen=self.screen)
        rung, carried = screened_rung(whole, model, base, trace)
        refuse_failed([rung])
        return model, rung, carried

    def applied(
        self, whole: CanonicalModel, climbed: Climbed, trace: Trace
    ) -> tuple[CanonicalModel, Climbed]:
        """The screened graphs, and the ladder up to them; errors as `lowered`."""
        name = self.precision.name
        model, rung, carried = self.lowered(whole, climbed.carried[name], trace)
        return model, replace(
            climbed,
            carried={**climbed.carried, name: carried},
            screened={**climbed.screened, name: rung},
        )

    def measured(self, whole: Path, screened: Path) -> dict[str, Any]:
        """Evidence, as `measure` gives it."""
        return measure(whole, screened, self.screen.candidates)


def screening_of(
    quantizer: Quantizer, precision: Precision, exceptions: Mapping[str, str], candidates: int
) -> Screening:
    """The screened head of a quantizer's model; errors as `screen_of`."""
    screen = screen_of(quantizer.model, precision, exceptions, candidates)
    rescored = {screen.weights: screen.exact} if screen.exact != precision.name else {}
    return Screening(screen, quantizer, precision, {**exceptions, **rescored})


def screened_rung(
    whole: CanonicalModel, screened: CanonicalModel, base: Carried, trace: Trace
) -> tuple[Rung, Carried]:
    """One step from each state that the whole model had, and the screened one carried.

    States do not depend on the head, so they are the same to the bit.
    """
    ports = whole.graphs["step"].interface.state
    zeros: dict[str, Any] = {p.name: np.zeros((1, *map(int, p.shape[1:])), p.dtype) for p in ports}
    context, start = started_by(screened, trace, zeros)
    carried = carry(screened, trace, context, start)
    rung = compare(
        "screened",
        "float32",
        states=[(base.after[name], carried.after[name]) for name in base.after],
        outputs=[(base.outputs, carried.outputs)],
        choices=(base.choices, carried.choices) if TASKS[whole.task].chooses else None,
    )
    return rung, carried


def measure(
    whole: Path, screened: Path, candidates: int, *, limit: int | None = None
) -> dict[str, Any]:
    """How often the screened bundle answers as the one with the whole head does.

    Both read the same real symbols, the state carried: the test split of a language model, else
    the inputs of the golden trace.

    Returns:
        `symbols`, their `split`, `candidates`; `same_choice`: at how many of them both have the
        same largest logit; `top_5_among_candidates`: at how many the five largest of the whole
        head are among the candidates; and the shares of both.

    Raises:
        DataError: the data are missing or not those of the training.
    """
    read = same = among = 0
    with ExitStack() as stack:
        models = [stack.enter_context(treadle.load(p, unknown="symbol")) for p in (whole, screened)]
        source, split, inputs = _inputs(models[0], limit)
        opened = (m.stream(source[None]) if source.size else m.stream() for m in models)
        streams = [stack.enter_context(stream) for stream in opened]
        for chunk in _chunks(inputs):
            expected, actual = (flat_rows((s.unroll(chunk[None])[0],)) for s in streams)
            best = np.argpartition(-expected, _TOP, axis=-1)[:, :_TOP]
            kept = np.argpartition(-actual, candidates, axis=-1)[:, :candidates]
            found = (best[:, :, None] == kept[:, None, :]).any(-1)
            read += len(chunk)
            same += int((expected.argmax(-1) == actual.argmax(-1)).sum())
            among += int((found.sum(-1) >= min(_TOP, candidates)).sum())
    return {
        "candidates": candidates,
        "split": split,
        "symbols": read,
        "same_choice": same,
        "same_choice_share": same / read,
        "top_5_among_candidates": among,
        "top_5_among_candidates_share": among / read,
    }


def _chunks(inputs: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for first in range(0, len(inputs), _CHUNK):
        yield inputs[first : first + _CHUNK]


def _inputs(model: Model, limit: int | None) -> tuple[NDArray[Any], str, NDArray[Any]]:
    """What an encoder reads, the split, and what every step reads."""
    evaluation, none = model.manifest.evaluation, np.zeros(0, np.int64)
    if model.manifest.task != "language-modelling" or "dataset" not in evaluation:
        golden = Golden.from_bytes(model.bundle.read(GOLDEN_FILE))
        return golden.source, "golden", golden.inputs[:limit]
    dataset = open_dataset(evaluation["dataset"], evaluation.get("options"))
    check_digest(dataset, model.manifest.provenance.get("data"))
    text = dataset.split("test")[: SYMBOLS if limit is None else limit]
    ids = model.vocabularies["symbols"].encode(text, unknown=model.unknown)
    return none, "test", np.array([int(model.manifest.decoding["start"]), *ids[:-1]], np.int64)
