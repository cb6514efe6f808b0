"""The figure of a run, measured in torch: what `treadle evaluate RUN` prints.

The same data, metrics and decoding rules as for a bundle, so the two figures may be compared.
"""

import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from treadle.data import Classified, Conditioned, Frames, Pair, Series, Tagged
from treadle.errors import InputError
from treadle.evaluation import Evaluation
from treadle.forecast_errors import mean_over
from treadle.judged import JUDGED
from treadle.metrics import (
    accuracy,
    bits_per_character,
    macro_f1,
    nats_per_symbol,
    perplexity,
    span_f1,
    symbol_error_rate,
)
from treadle.stacking import stacked
from treadle.text_metrics import TEXT_FIGURES, different, hits_at
from treadle.texts import TextReading
from treadle.tokens import TokenReading
from treadle_train.batching.bucketed import IGNORED, Pairs
from treadle_train.batching.labelled import encoded, padded
from treadle_train.greedy import decode_greedily
from treadle_train.greedy_frames import read_greedily
from treadle_train.modules.forecasting import errors_of, forecasts_of
from treadle_train.modules.generation import forced
from treadle_train.networks import (
    Classifier,
    Forecaster,
    Generator,
    LanguageModel,
    SpeechTransducer,
    Tagger,
    Transducer,
)
from treadle_train.ranking import rank_answers
from treadle_train.run import Run, load_run
from treadle_train.tasks.generation import conditioned_rows

ROWS = 256
STEPS = 512


def evaluate_run(path: str | Path, *, split: str = "test", limit: int | None = None) -> Evaluation:
    """Measure a run on a split of its data, or on the first `limit` examples of it.

    Answers are found greedily, and any target of a pair is right; text is scored with the state
    carried from its first symbol to its last. Raises DataError when the run or its data is missing,
    InputError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit should be at least 1, got {limit}")
    run = load_run(path)
    examples = run.dataset().split(split)[:limit]
    began = time.perf_counter()
    with torch.inference_mode():
        value = FIGURES[run.network.task](run, run.network, examples)
    seconds = time.perf_counter() - began
    metric = str(run.evaluation["metric"])
    beam = 1 if metric in JUDGED[run.network.task].decoded else None
    return Evaluation.of(metric, value, examples=len(examples), seconds=seconds, beam=beam)


def _answer_figure(run: Run, network: Transducer, pairs: Sequence[Pair]) -> float:
    """The run's metric: of greedy answers, or of all answers ranked for each source."""
    target = TextReading.of(run.vocabularies, run.decoding, "output")
    right = [list(map(target.written, pair.answers)) for pair in pairs]
    metric = str(run.evaluation["metric"])
    if metric in TEXT_FIGURES:
        return TEXT_FIGURES[metric](answer_pairs(run, network, pairs), right)
    answers, places = different(right)
    alpha = float(run.decoding["length_penalty"])
    scores = rank_answers(network, _sources(run, pairs), answers, target, alpha)
    return hits_at(scores, places)


def _sources(run: Run, pairs: Sequence[Pair]) -> list[list[int]]:
    reading = TextReading.of(run.vocabularies, run.decoding, "input")
    return [reading.ids(pair.inputs, unknown="symbol") for pair in pairs]


def answer_pairs(run: Run, network: Transducer, pairs: Sequence[Pair]) -> list[str]:
    """What `network` answers to each source, greedily; those of similar length go together."""
    output, sources = run.vocabularies["output"], _sources(run, pairs)
    start, end = run.decoding["start"], run.decoding["end"]
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    answers = [""] * len(sources)
    for first in range(0, len(sources), ROWS):
        batch = order[first : first + ROWS]
        asked = [sources[index] for index in batch]
        padded = Pairs.of(asked, [[] for _ in asked], start=start, end=end)
        decoded = decode_greedily(
            network,
            torch.from_numpy(padded.source),
            torch.from_numpy(padded.source_lengths),
            start,
            end,
            run.decoding["max_length"],
        )
        for index, ids in zip(batch, decoded, strict=True):
            answers[index] = output.text(ids)
    return answers


def _text_figure(run: Run, network: LanguageModel, text: str) -> float:
    """The run's metric: every symbol is predicted from all before it, the first from start."""
    ids = torch.tensor(run.vocabularies["symbols"].encode(text, unknown="symbol"))
    inputs = torch.cat([torch.tensor([run.decoding["start"]]), ids[:-1]])
    state = network.initial_state(1)
    nats = []
    for first in range(0, len(ids), STEPS):
        logits, state = network.sequence(inputs[None, first : first + STEPS], None, state)
        chunk = ids[first : first + STEPS]
        nats.append(functional.cross_entropy(logits[0].double(), chunk, reduction="none"))
    values = torch.cat(nats).numpy()
    if run.evaluation["metric"] == "perplexity":
        return perplexity(values)
    return bits_per_character(values, characters=len(text))


def predict_labels(run: Run, network: Classifier, examples: Sequence[Classified]) -> list[str]:
    """The likeliest label of each whole sequence; those of similar length go together."""
    rows = [encoded(example, run.vocabularies) for example in examples]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    labels, said = run.vocabularies["labels"].symbols, [""] * len(rows)
    for first in range(0, len(rows), ROWS):
        chosen = order[first : first + ROWS]
        x, lengths = padded([rows[index] for index in chosen])
        for index, best in zip(chosen, network.classify(x, lengths).argmax(-1), strict=True):
            said[index] = labels[int(best)]
    return said


def _label_figure(run: Run, network: Classifier, examples: Sequence[Classified]) -> float:
    """The run's metric over whole sequences."""
    said = predict_labels(run, network, examples)
    metric = {"accuracy": accuracy, "macro_f1": macro_f1}[str(run.evaluation["metric"])]
    return metric(said, [str(example.label) for example in examples])


def _written_figure(run: Run, network: Generator, examples: Sequence[Conditioned]) -> float:
    """The run's metric over all symbols and ends, sequences of similar length together."""
    rows = conditioned_rows(examples, run.vocabularies, split="test")
    order = np.argsort(rows.lengths, kind="stable")
    nats = []
    for first in range(0, len(rows), ROWS):
        batch = rows.batch(order[first : first + ROWS])
        logits, counted = forced(network, batch), batch.targets != IGNORED
        chosen = logits[counted].double()
        nats.append(functional.cross_entropy(chosen, batch.targets[counted], reduction="none"))
    metric = {"nats_per_symbol": nats_per_symbol, "perplexity": perplexity}
    return metric[str(run.evaluation["metric"])](torch.cat(nats).numpy())


def _forecast_figure(run: Run, network: Forecaster, series: Series) -> float:
    """The run's metric, the mean over horizons, the state carried through the series."""
    said = run.decoding
    frames = torch.from_numpy(series.of(said["channels"]).copy())
    forecasts = forecasts_of(network, frames)
    errors = errors_of(network, frames, forecasts, said["horizons"], said["quantiles"])
    return mean_over(errors, "mae" if run.evaluation["metric"] == "mae" else "mse")


def predict_tags(run: Run, network: Tagger, examples: Sequence[Tagged]) -> list[list[str]]:
    """The best tags of each sentence; those of similar length go together."""
    reading = TokenReading.of(run.vocabularies["input"], run.decoding)
    rows = [reading.ids(one.tokens) for one in examples]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    tags, said = run.vocabularies["tags"].symbols, [[""]] * len(rows)
    for first in range(0, len(rows), ROWS):
        chosen = order[first : first + ROWS]
        x, lengths = padded([rows[index] for index in chosen])
        for index, row in zip(chosen, network.tag(x, lengths).tolist(), strict=True):
            said[index] = [tags[best] for best in row[: len(rows[index])]]
    return said


def _tag_figure(run: Run, network: Tagger, examples: Sequence[Tagged]) -> float:
    """The run's metric over all sentences."""
    said = predict_tags(run, network, examples)
    right = [one.tags for one in examples]
    if run.evaluation["metric"] == "span_f1":
        return span_f1(said, right)
    return accuracy([*chain(*said)], [*chain(*right)])


def transcribe(run: Run, network: SpeechTransducer, examples: Sequence[Frames]) -> list[list[str]]:
    """What was said in each utterance, greedily; those of similar length go together."""
    rows = [stacked(one.values, int(run.decoding["frames"])) for one in examples]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    said: dict[int, list[str]] = {}
    for first in range(0, len(rows), ROWS):
        chosen = order[first : first + ROWS]
        found = read_greedily(network, *padded([rows[index] for index in chosen]))
        said |= zip(chosen, map(run.vocabularies["output"].decode, found), strict=True)
    return [said[index] for index in range(len(rows))]


def _transcript_figure(run: Run, network: SpeechTransducer, examples: Sequence[Frames]) -> float:
    said = transcribe(run, network, examples)
    return symbol_error_rate(said, [one.symbols or () for one in examples])


FIGURES: dict[str, Callable[[Run, Any, Any], float]] = {
    "classification": _label_figure,
    "forecasting": _forecast_figure,
    "generation": _written_figure,
    "language-modelling": _text_figure,
    "speech-transduction": _transcript_figure,
    "tagging": _tag_figure,
    "transduction": _answer_figure,
}
"""Task -> (run, network, examples of a split) -> the figure by the run's metric."""
