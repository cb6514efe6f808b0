"""How `treadle run` answers a line of text: one row a task."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import click
from click.core import ParameterSource

from treadle.commands.options import write
from treadle.errors import TreadleError
from treadle.written import read_series, read_utterance, read_vector

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from treadle.answers import Hypothesis
    from treadle.classifier import Classifier
    from treadle.forecaster import Forecast, Forecaster
    from treadle.generator import Generator
    from treadle.language_model import LanguageModel
    from treadle.model import Model
    from treadle.speech_transducer import SpeechTransducer
    from treadle.tagger import Tagger
    from treadle.transcriber import Transcriber as Reader
    from treadle.transducer import Transducer

GENERATED = 200  # symbols a prompt is continued by, unless --max-length says otherwise


class Answerer(Protocol):
    """Answers lines with a model; `taken` names the options that mean something to it."""

    taken: ClassVar[tuple[str, ...]]

    def __init__(self, model: Any, options: dict[str, Any]) -> None: ...

    def write(self, line: str) -> None:
        """Print the answer to one line."""

    def document(self, line: str) -> dict[str, Any]:
        """The answer to one line, with all that is known of it."""


@dataclass(frozen=True)
class Transcriber:
    """Answers lines with a transducer."""

    model: Transducer
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = ("max_length", "beam", "n_best", "length_normalization")

    def write(self, line: str) -> None:
        """Print the answers to one line, tab between."""
        write("\t".join(hypothesis.text for hypothesis in self._hypotheses(line)) + "\n")

    def document(self, line: str) -> dict[str, Any]:
        """The answers to one line with their scores."""
        return {"input": line, "hypotheses": [made.to_json() for made in self._hypotheses(line)]}

    def _hypotheses(self, line: str) -> list[Hypothesis]:
        return self.model.transduce([line], **self.options)[0]


@dataclass(frozen=True)
class Continuer:
    """Answers lines with a language model."""

    model: LanguageModel
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = (
        *("max_length", "temperature", "top_k", "top_p", "min_p"),
        *("repetition_penalty", "stop", "seed"),
    )

    def write(self, line: str) -> None:
        """Print one line and its continuation, symbol by symbol."""
        symbols = self._symbols(line)
        write(line)
        for symbol in symbols:
            write(symbol)
        write("\n")

    def document(self, line: str) -> dict[str, Any]:
        """One line and its continuation."""
        return {"input": line, "continuation": "".join(self._symbols(line))}

    def _symbols(self, line: str) -> Iterator[str]:
        space = self.model.vocabularies["symbols"].space
        options = {**self.options, "max_length": self.options["max_length"] or GENERATED}
        return (space + symbol for symbol in self.model.generate(line, **options))


@dataclass(frozen=True)
class Labeller:
    """Answers lines with a classifier."""

    model: Classifier
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = ()

    def write(self, line: str) -> None:
        """Print the label of one line and its probability, tab between."""
        [prediction] = self.model.classify([line])
        write(f"{prediction.label}\t{prediction.probability:.4f}\n")

    def document(self, line: str) -> dict[str, Any]:
        """The label of one line, and the probabilities of all."""
        [prediction] = self.model.classify([line])
        return {"input": line, **asdict(prediction)}


@dataclass(frozen=True)
class Foreteller:
    """Answers lines with a forecaster.

    A line is a series: `1.5 1.7`, or of two channels `1,2 3,4`.
    """

    model: Forecaster
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = ()

    def write(self, line: str) -> None:
        """Print the central forecast of every step ahead, tab between."""
        write("\t".join(f"{value:.6g}" for value in self._forecast(line).central) + "\n")

    def document(self, line: str) -> dict[str, Any]:
        """The central forecast, and the values of every quantile."""
        made = self._forecast(line)
        return {"input": line, "target": self.model.target, **made.to_json()}

    def _forecast(self, line: str) -> Forecast:
        [made] = self.model.forecast([read_series(line, self.model.channels)])
        return made


@dataclass(frozen=True)
class TokenTagger:
    """Answers lines with a tagger."""

    model: Tagger
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = ()

    def write(self, line: str) -> None:
        """Print each token of one line as token/tag."""
        [tagging] = self.model.tag(line)
        pairs = zip(tagging.tokens, tagging.tags, strict=True)
        write(" ".join(f"{token}/{tag}" for token, tag in pairs) + "\n")

    def document(self, line: str) -> dict[str, Any]:
        """The tokens of one line and their tags."""
        [tagging] = self.model.tag(line)
        return {"input": line, **asdict(tagging)}


@dataclass(frozen=True)
class Writer:
    """Answers lines with a generator: a line is a label, or the numbers of a vector.

    Line number i, from 0, draws with the seed + i, so that the same line again is answered anew.
    """

    model: Generator
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = (*Transcriber.taken, *Continuer.taken[1:])
    seeds: Iterator[int] = field(default_factory=count)

    def write(self, line: str) -> None:
        """Print one line's sequence symbol by symbol, or those of a beam, tab between."""
        if (self.options["beam"] or 1) > 1:
            write("\t".join(hypothesis.text for hypothesis in self._hypotheses(line)) + "\n")
            return
        between = ""
        space = self.model.vocabularies["output"].space
        drawn = {name: self.options[name] for name in ("max_length", *Continuer.taken[1:])}
        for symbol in self.model.running(self._given(line), **drawn | self._seed()):
            write(between + symbol)
            between = space
        write("\n")

    def document(self, line: str) -> dict[str, Any]:
        """The sequences of one line with their scores."""
        return {"input": line, "hypotheses": [made.to_json() for made in self._hypotheses(line)]}

    def _hypotheses(self, line: str) -> list[Hypothesis]:
        asked = {name: value for name, value in self.options.items() if value is not None}
        options = asked | self._seed()
        if options.get("beam", 1) > 1 and options["temperature"] == 1:
            options["temperature"] = 0.0  # the command's default is to draw, a beam searches
        return self.model.generate(self._given(line), **options)[0]

    def _seed(self) -> dict[str, int]:
        return {"seed": self.options["seed"] + next(self.seeds)}

    def _given(self, line: str) -> Any:
        features = self.model.features
        return line if features is None else read_vector(line, features)


@dataclass(frozen=True)
class Listener:
    """Answers lines with a transducer of speech.

    A line is the path of an .npy file of one utterance, float32 [time, features].
    """

    model: SpeechTransducer
    options: dict[str, Any]
    taken: ClassVar[tuple[str, ...]] = ("beam", "n_best")

    def write(self, line: str) -> None:
        """Print the transcripts of one file, tab between."""
        frames = read_utterance(line)
        with self._reader() as reader:
            reader.feed(frames[None])
            [found] = reader.final(n_best=self.options["n_best"])
        write("\t".join(one.text for one in found) + "\n")

    def document(self, line: str) -> dict[str, Any]:
        """The transcripts of one file, and those on the way, whenever they changed."""
        partials: list[dict[str, Any]] = []
        with self._reader() as reader:
            for number, frame in enumerate(read_utterance(line), 1):
                reader.feed(frame[None])
                [now] = reader.partial()
                if now.text != (partials[-1]["text"] if partials else ""):
                    partials.append({"frames": number, "text": now.text, "settled": now.settled})
            [found] = reader.final(n_best=self.options["n_best"])
        return {
            "input": line,
            "partial": partials,
            "hypotheses": [made.to_json() for made in found],
        }

    def _reader(self) -> Reader:
        return self.model.transcriber(beam=self.options["beam"])


ANSWERERS: dict[str, type[Answerer]] = {
    "classification": Labeller,
    "forecasting": Foreteller,
    "generation": Writer,
    "language-modelling": Continuer,
    "speech-transduction": Listener,
    "tagging": TokenTagger,
    "transduction": Transcriber,
}
"""Task -> what answers lines of text with a model of it."""


def answerer_of(ctx: click.Context, model: Model, options: dict[str, Any]) -> Answerer:
    """What answers lines with `model`, given every option that some task takes.

    Raises click.UsageError for an option of another task, TreadleError for a task that answers no
    text.
    """
    task = model.manifest.task
    if task not in ANSWERERS:
        raise TreadleError(f"run does not know the task {task}")
    kind = ANSWERERS[task]
    return kind(model, chosen_options(ctx, task, kind.taken, options))


def chosen_options(
    ctx: click.Context, task: str, taken: Collection[str], options: dict[str, Any]
) -> dict[str, Any]:
    """Those of the options that the task takes.

    Raises click.UsageError for one that was given and that it does not take, which would be ignored
    without a word.
    """
    for name in options.keys() - set(taken):
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} has no meaning for the task {task}")
    return {name: options[name] for name in taken}
