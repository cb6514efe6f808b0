"""report.md of a run: its figures, its learning curve, and examples of what it gets wrong."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from treadle.data import Pronunciation
from treadle.files import write_atomically
from treadle_train.curve import PNG
from treadle_train.evaluation import decode_words
from treadle_train.networks import LanguageModel, Transducer
from treadle_train.run import Run

REPORT = "report.md"
EXAMPLES = 20
"""Errors that are shown."""
WORDS = 500
"""Words of the validation split that are looked through for errors."""
SYMBOLS = 2000
"""Symbols of the validation split that are looked through for surprises."""
CONTEXT = 24
"""Symbols before a surprise that are shown."""


def write_report(run: Run, validation: Any, bucketing: object | None) -> None:
    """Write report.md. validation: that split of the run's data. Raises OSError."""
    metric = str(run.evaluation["metric"])
    best = min(run.history, key=lambda row: row[f"validation_{metric}"])
    summary = (
        f"Trained on `{run.evaluation['dataset']}`, seed {run.provenance['seed']}. The weights are "
        f"of epoch {best['epoch']}, whose {metric.replace('_', ' ')} on the validation split was "
        f"{best[f'validation_{metric}']:.4g}."
    )
    lines = [
        f"# {run.name}",
        "",
        summary,
        "",
        *([f"{str(bucketing).capitalize()}.", ""] if bucketing is not None else []),
        f"![Learning curve]({PNG})",
        "",
        *_table(list(run.history[0]), [_cells(row) for row in run.history]),
        "",
        *_examples(run, validation),
    ]
    write_atomically(run.path / REPORT, ("\n".join(lines) + "\n").encode())


def _cells(row: dict[str, float]) -> list[str]:
    return [f"{value:.6g}" for value in row.values()]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(name.replace('_', ' ') for name in header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _code(text: str) -> str:
    """`text` as code in a cell of a table: what would end either is written otherwise."""
    shown = text.replace("\n", "⏎").replace("|", "¦").replace("`", "´")
    return f"`{shown or ' '}`"


@torch.inference_mode()
def _examples(run: Run, validation: Any) -> list[str]:
    if isinstance(run.network, Transducer):
        return _wrong_words(run, run.network, validation[:WORDS])
    if isinstance(run.network, LanguageModel):
        return _surprises(run, run.network, validation[:SYMBOLS])
    return []


def _wrong_words(run: Run, network: Transducer, words: Sequence[Pronunciation]) -> list[str]:
    """Words whose answer is none of the listed ones, first come first shown."""
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
    return [title, *_table(("word", "answer", "right"), rows)]


def _surprises(run: Run, network: LanguageModel, text: str) -> list[str]:
    """Symbols that the model thought least likely, the worst first."""
    ids = torch.tensor(run.vocabularies["symbols"].encode(text, unknown="symbol"))
    inputs = torch.cat([torch.tensor([run.decoding["start"]]), ids[:-1]])
    logits, _ = network.sequence(inputs[None], None, network.initial_state(1))
    likelihood = functional.log_softmax(logits[0].double(), dim=-1)
    bits = -likelihood.gather(1, ids[:, None])[:, 0] / torch.log(torch.tensor(2.0))
    expected = logits[0].argmax(dim=-1).tolist()
    symbols = run.vocabularies["symbols"].symbols
    rows = [
        [
            _code(text[max(0, place - CONTEXT) : place]),
            _code(text[place]),
            _code(symbols[expected[place]]),
            f"{float(bits[place]):.1f}",
        ]
        for place in bits.argsort(descending=True).tolist()[:EXAMPLES]
    ]
    title = f"## Surprises\n\nThe worst of the first {len(ids)} symbols of the validation split.\n"
    return [title, *_table(("after", "came", "expected", "bits"), rows)]
