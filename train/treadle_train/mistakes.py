"""What a run gets wrong on its validation split, as sections in Markdown, one kind a task."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from treadle.data import Classified, Frames, Pronunciation
from treadle_train.evaluation import decode_words, predict_labels, transcribe
from treadle_train.networks import Classifier, LanguageModel, SpeechTransducer, Transducer
from treadle_train.run import Run

EXAMPLES = 20
"""Errors that are shown."""
WORDS = 500
"""Words that are looked through for errors."""
SYMBOLS = 2000
"""Symbols that are looked through for surprises."""
CONTEXT = 24
"""Symbols before a surprise that are shown."""
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


def _wrong_words(run: Run, network: Transducer, words: Sequence[Pronunciation]) -> list[str]:
    """Words whose answer is none of the listed ones, first come first shown."""
    words = words[:WORDS]
    answers = decode_words(run, network, words)
    wrong = [
        (entry, answer)
        for entry, answer in zip(words, answers, strict=True)
        if tuple(answer) not in entry.pronunciations
    ]
    rows = [
        [
            _code(entry.word),
            _code(" ".join(answer)),
            ", ".join(_code(" ".join(right)) for right in entry.pronunciations),
        ]
        for entry, answer in wrong[:EXAMPLES]
    ]
    title = f"## Errors\n\n{len(wrong)} of the first {len(words)} words of the validation split.\n"
    return [title, *table(("word", "answer", "right"), rows)]


def _surprises(run: Run, network: LanguageModel, text: str) -> list[str]:
    """Symbols that the model thought least likely, the worst first."""
    vocabulary = run.vocabularies["symbols"]
    ids = torch.tensor(vocabulary.encode(text[: LONGEST * SYMBOLS], unknown="symbol")[:SYMBOLS])
    inputs = torch.cat([torch.tensor([run.decoding["start"]]), ids[:-1]])
    logits, _ = network.sequence(inputs[None], None, network.initial_state(1))
    likelihood = functional.log_softmax(logits[0].double(), dim=-1)
    bits = -likelihood.gather(1, ids[:, None])[:, 0] / torch.log(torch.tensor(2.0))
    read, expected = ids.tolist(), logits[0].argmax(dim=-1).tolist()
    rows = [
        [
            _code(vocabulary.text(read[max(0, place - CONTEXT) : place])),
            _code(vocabulary.symbols[read[place]]),
            _code(vocabulary.symbols[expected[place]]),
            f"{float(bits[place]):.1f}",
        ]
        for place in bits.argsort(descending=True).tolist()[:EXAMPLES]
    ]
    title = f"## Surprises\n\nThe worst of the first {len(ids)} symbols of the validation split.\n"
    return [title, *table(("after", "came", "expected", "bits"), rows)]


def _wrong_labels(run: Run, network: Classifier, examples: Sequence[Classified]) -> list[str]:
    """How often each label was taken for which, and texts that were, first come first shown."""
    said = predict_labels(run, network, examples)
    right = [str(example.label) for example in examples]
    labels, counts = run.vocabularies["labels"].symbols, Counter(zip(right, said, strict=True))
    matrix = [[_code(row), *(str(counts[row, column]) for column in labels)] for row in labels]
    wrong = [
        [_code(_shown(example)), _code(answer), _code(str(example.label))]
        for example, answer in zip(examples, said, strict=True)
        if answer != example.label
    ]
    return [
        f"## Confusion\n\n{len(right)} validation examples, right down, said across.\n",
        *table(("", *map(_code, labels)), matrix),
        f"\n## Errors\n\n{len(wrong)} of them, the first {min(EXAMPLES, len(wrong))} here.\n",
        *table(("input", "said", "right"), wrong[:EXAMPLES]),
    ]


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
    return inputs if len(inputs) <= LONGEST else f"{inputs[: LONGEST - 1]}…"


MISTAKES: Mapping[str, Callable[[Run, Any, Any], list[str]]] = {
    "classification": _wrong_labels,
    "language-modelling": _surprises,
    "speech-transduction": _wrong_transcripts,
    "transduction": _wrong_words,
}
"""Task -> (run, network, validation split) -> lines; a task that is not here shows none."""
