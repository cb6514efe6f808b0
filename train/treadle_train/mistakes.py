"""What a run gets wrong on its validation split, as sections in Markdown, one kind a task."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from treadle.data import Classified, Conditioned, Frames, Pair, Series, Tagged, given_of
from treadle.forecast_errors import differences
from treadle.texts import TextReading
from treadle.vocabulary import Vocabulary
from treadle_train.evaluation import answer_pairs, predict_labels, predict_tags, transcribe
from treadle_train.modules.forecasting import forecasts_of
from treadle_train.networks import (
    Classifier,
    Forecaster,
    Generator,
    LanguageModel,
    SpeechTransducer,
    Tagger,
    Transducer,
)
from treadle_train.run import Run
from treadle_train.tasks.generation import conditioned_rows

EXAMPLES = 20
"""Errors that are shown."""
PAIRS = 500
"""Pairs that are looked through for errors."""
SYMBOLS = 2000
"""Symbols that are looked through for surprises."""
CONTEXT = 24
"""Symbols before a surprise that are shown."""
LARGEST = 20
"""Rows of a confusion matrix that are shown."""
LONGEST = 80
"""Characters of a text that are shown."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield f"| {' | '.join(name.replace('_', ' ') for name in header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _code(text: str) -> str:
    """`text` as code in a cell of a table: what would end either is written otherwise."""
    shown = text.replace("\n", "⏎").replace("|", "¦").replace("`", "´")
    return f"`{shown or ' '}`"


def _wrong_answers(run: Run, network: Transducer, pairs: Sequence[Pair]) -> list[str]:
    """Sources whose answer is none of the right ones, first come first shown."""
    pairs = pairs[:PAIRS]
    answers = answer_pairs(run, network, pairs)
    written = TextReading.of(run.vocabularies, run.decoding, "output").written
    wrong = [
        (pair, answer)
        for pair, answer in zip(pairs, answers, strict=True)
        if answer not in map(written, pair.answers)
    ]
    rows = [
        [_code(_cut(pair.inputs)), _code(answer), ", ".join(map(_code, pair.answers))]
        for pair, answer in wrong[:EXAMPLES]
    ]
    title = f"## Errors\n\n{len(wrong)} of the first {len(pairs)} pairs of the validation split.\n"
    return [title, *table(("source", "answer", "right"), rows)]


def _surprises(run: Run, network: LanguageModel, text: str) -> list[str]:
    """Symbols that the model thought least likely, the worst first."""
    vocabulary = run.vocabularies["symbols"]
    ids = torch.tensor(vocabulary.encode(text[: LONGEST * SYMBOLS], unknown="symbol")[:SYMBOLS])
    inputs = torch.cat([torch.tensor([run.decoding["start"]]), ids[:-1]])
    logits, _ = network.sequence(inputs[None], None, network.initial_state(1))
    return _worst(("after", "came", "expected"), _symbols(vocabulary, ids, logits[0]))


def _surprises_of_written(
    run: Run, network: Generator, examples: Sequence[Conditioned]
) -> list[str]:
    """Symbols that the generator thought least likely after what stands before them."""
    vocabulary, found = run.vocabularies["output"], list[tuple[float, list[str]]]()
    rows = conditioned_rows(examples[:SYMBOLS], run.vocabularies, split="validation")
    for place, example in enumerate(examples[:SYMBOLS]):
        batch = rows.batch([place])
        context, initial = network.given(batch.given)
        state = network.initial_state(1) | initial
        logits, _ = network.sequence(batch.inputs, None, state, context)
        given = _code(_cut(str(given_of(example))))
        of_row = _symbols(vocabulary, batch.targets[0], logits[0])
        found += [(bits, [given, *cells]) for bits, cells in of_row]
        if len(found) >= SYMBOLS:
            break
    return _worst(("written for", "after", "came", "expected"), found)


def _symbols(vocabulary: Vocabulary, ids: Tensor, logits: Tensor) -> list[tuple[float, list[str]]]:
    """Of each of ids [T], with logits [T, V]: its bits; what came before, it, what was expected."""
    nats = functional.cross_entropy(logits.double(), ids, reduction="none")
    bits, came, expected = (nats / math.log(2)).tolist(), ids.tolist(), logits.argmax(-1).tolist()
    return [
        (
            bits[place],
            [
                _code(vocabulary.text(came[max(0, place - CONTEXT) : place])),
                _code(vocabulary.symbols[came[place]]),
                _code(vocabulary.symbols[expected[place]]),
            ],
        )
        for place in range(len(came))
    ]


def _worst(header: Sequence[str], found: Sequence[tuple[float, list[str]]]) -> list[str]:
    """The symbols with the most bits."""
    worst = sorted(found, key=lambda one: -one[0])[:EXAMPLES]
    rows = [[*cells, f"{bits:.1f}"] for bits, cells in worst]
    title = (
        f"## Surprises\n\nThe worst of the first {len(found)} symbols of the validation split.\n"
    )
    return [title, *table((*header, "bits"), rows)]


def _wrong_labels(run: Run, network: Classifier, examples: Sequence[Classified]) -> list[str]:
    """How often each label was taken for which, and texts that were, first come first shown."""
    said = predict_labels(run, network, examples)
    right = [str(example.label) for example in examples]
    labels = run.vocabularies["labels"].symbols
    wrong = [
        [_code(_shown(example)), _code(answer), _code(str(example.label))]
        for example, answer in zip(examples, said, strict=True)
        if answer != example.label
    ]
    return [
        *_confusion(labels, right, said, "examples"),
        f"\n## Errors\n\n{len(wrong)} of them, the first {min(EXAMPLES, len(wrong))} here.\n",
        *table(("input", "said", "right"), wrong[:EXAMPLES]),
    ]


def _confusion(
    names: Sequence[str], right: Sequence[str], said: Sequence[str], what: str
) -> Iterator[str]:
    """How often each name was taken for which; of many names those with the most mistakes."""
    counts = Counter(zip(right, said, strict=True))
    wrong = Counter[str]()
    for (one, other), count in counts.items():
        if one != other:
            wrong.update({one: count, other: count})
    shown = sorted(names, key=lambda name: -wrong[name])[:LARGEST]
    names = [name for name in names if name in shown]
    matrix = [[_code(row), *(str(counts[row, column]) for column in names)] for row in names]
    yield f"## Confusion\n\n{len(right)} validation {what}, right down, said across.\n"
    yield from table(("", *map(_code, names)), matrix)


def _wrong_tags(run: Run, network: Tagger, examples: Sequence[Tagged]) -> list[str]:
    """How often each tag was taken for which, and sentences with wrong tags, the first ones."""
    said = predict_tags(run, network, examples)
    right = [tag for example in examples for tag in example.tags]
    wrong = [
        [_code(_cut(" ".join(example.tokens))), ", ".join(_taken_for(example, tags))]
        for example, tags in zip(examples, said, strict=True)
        if tuple(tags) != example.tags
    ]
    shown = wrong[:EXAMPLES]
    title = (
        f"\n## Errors\n\n{len(wrong)} of {len(examples)} validation sentences have wrong tags, the "
        f"first {len(shown)} here, each wrong token with what was said (and what is right).\n"
    )
    return [
        *_confusion(run.vocabularies["tags"].symbols, right, [*chain(*said)], "tokens"),
        title,
        *table(("sentence", "wrong"), shown),
    ]


def _taken_for(example: Tagged, said: Sequence[str]) -> Iterator[str]:
    """Each token with a wrong tag, that tag, and the right one."""
    for token, tag, right in zip(example.tokens, said, example.tags, strict=True):
        if tag != right:
            yield f"{_code(_cut(token))} {_code(tag)} ({_code(right)})"


def _worst_windows(run: Run, network: Forecaster, series: Series) -> list[str]:
    """Where forecasts were the furthest off, the worst first; no two share a step ahead."""
    frames = torch.from_numpy(series.of(run.decoding["channels"]).copy())
    values, quantiles = frames[:, network.target].numpy(), run.decoding["quantiles"]
    central = quantiles.index(0.5) if quantiles else 0
    forecasts, first = forecasts_of(network, frames)[..., central].numpy(), network.season - 1
    off = differences(forecasts, values, network.steps, first=first) / network.deviation
    errors = np.mean(off**2, axis=1)
    rows = []
    for place in _apart(np.argsort(-errors, kind="stable"), network.steps):
        now, ahead = first + place, slice(first + place + 1, first + place + 1 + network.steps)
        came, said = values[ahead], forecasts[now]
        rows.append(
            [str(now), f"{errors[place]:.4g}", f"{values[now]:.4g}", _range(came), _range(said)]
        )
    title = (
        f"## Worst windows\n\nOf {len(errors)} frames of the validation split the ones whose "
        f"forecasts over {network.steps} steps were the furthest off; `mse` in variances of the "
        "training split, the rest in the data's unit, lowest to highest.\n"
    )
    return [title, *table(("frame", "mse", "value there", "came", "forecast"), rows)]


def _apart(places: NDArray[np.intp], distance: int) -> list[int]:
    """The first places, as many as are shown, of which no two are nearer than `distance`."""
    kept: list[int] = []
    for place in places.tolist():
        if all(abs(place - other) >= distance for other in kept):
            kept.append(place)
        if len(kept) == EXAMPLES:
            break
    return kept


def _range(values: NDArray[np.floating]) -> str:
    return f"{values.min():.4g} … {values.max():.4g}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _wrong_transcripts(
    run: Run, network: SpeechTransducer, examples: Sequence[Frames]
) -> list[str]:
    """Utterances whose transcript is another, first come first shown."""
    rows = [
        [f"{len(example)} frames", _code(" ".join(said)), _code(" ".join(example.symbols or ()))]
        for example, said in zip(examples, transcribe(run, network, examples), strict=True)
        if tuple(said) != example.symbols
    ]
    title = f"## Errors\n\n{len(rows)} of the {len(examples)} utterances of the validation split.\n"
    return [title, *table(("utterance", "answer", "right"), rows[:EXAMPLES])]


def _shown(example: Classified) -> str:
    inputs = example.inputs
    if isinstance(inputs, np.ndarray):
        return f"{len(inputs)} frames"
    return _cut(inputs)


MISTAKES: Mapping[str, Callable[[Run, Any, Any], list[str]]] = {
    "classification": _wrong_labels,
    "forecasting": _worst_windows,
    "generation": _surprises_of_written,
    "language-modelling": _surprises,
    "speech-transduction": _wrong_transcripts,
    "tagging": _wrong_tags,
    "transduction": _wrong_answers,
}
"""Task -> (run, network, validation split) -> lines."""
