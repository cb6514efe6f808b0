"""Tagger: a tag for every token of a sentence."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.answers import batches_by_length
from treadle.decoding import read_logits
from treadle.decoding.viterbi import TagScores, best_tags, tag_nats
from treadle.delay import Delay
from treadle.errors import BundleError, InputError
from treadle.model import Model
from treadle.score import negative_log_probabilities
from treadle.spans import Span, spans_of
from treadle.tokens import TokenReading
from treadle.whole_reading import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Reading
    from treadle.stream import Stream

    Sentence = str | Sequence[str]

# Rows of one call: enough that a call costs nothing against them, few enough for any memory.
_ROWS = 64


@dataclass(frozen=True, slots=True)
class Tagging:
    """The tokens of a sentence, and the tag of each."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def spans(self) -> list[Span]:
        """What BIO tags mark, in order. Raises InputError where the tags are none."""
        return spans_of(self.tags)


class Tagger(Model):
    """A model of the task "tagging": aligned many to many.

    Its vocabularies are "input", of tokens, and "tags". One that reads whole sentences in both
    directions has no stream; `tag` and `read` serve all kinds. One with a conditional random field
    chooses the tags of a sentence together, any other each by itself. What a stream's step reads
    and answers where there is a delay, `treadle.delay.Delay` says; `tag`, `read` and `running` give
    each token its own.
    """

    @property
    def tags(self) -> tuple[str, ...]:
        """What there is to choose from, in the order of the logits.

        Raises BundleError where the bundle has no tags, or not one for each logit of a step.
        """
        outputs = self.manifest.graphs["sequence"].outputs
        tags = self.vocabularies["tags"].symbols if "tags" in self.vocabularies else ()
        answers = self._delay.answers
        if len(outputs) != 1 or outputs[0].shape != ("batch", "time", answers * len(tags)):
            raise BundleError(
                f"graphs.sequence of {self.manifest.name} should give, at each step, one logit for "
                f"each of the {len(tags)} tags of {answers} tokens, got "
                f"{[list(t.shape) for t in outputs]}; export the bundle again"
            )
        return tags

    @property
    def delay(self) -> int | None:
        """Tokens that may have to be read after one before its tag is known, at most.

        0: its tag is said at once. None: only the end of the sentence decides. Raises BundleError.
        """
        whole = "step" not in self.manifest.graphs or self.scores is not None
        return None if whole else self._delay.steps

    @property
    def _delay(self) -> Delay:
        """What a step reads and answers; of a graph of whole sentences, each token its own."""
        return Delay.of(self.manifest.decoding) or Delay()

    @property
    def scores(self) -> TagScores | None:
        """What neighbouring tags are worth, of a conditional random field; None without one.

        Raises BundleError for scores that are not those of the tags.
        """
        given = self.manifest.decoding.get("scores")
        if given is None:
            return None
        try:
            parts = [np.array(given[name], np.float32) for name in ("transitions", "first", "last")]
            scores = TagScores(*parts)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"decoding.scores of {self.manifest.name} should hold transitions, first and last, "
                f"got something else ({error}); export the bundle again"
            ) from error
        if len(scores.first) != len(self.tags):
            raise BundleError(
                f"decoding.scores of {self.manifest.name} should be of {len(self.tags)} tags, got "
                f"{len(scores.first)}; export the bundle again"
            )
        return scores

    def tag(self, sentences: Sentence | Sequence[Sentence]) -> list[Tagging]:
        """The tags of each sentence, in their order.

        A sentence is a text whose tokens white space separates, or a list of tokens, which are
        taken as they are; one text alone is a list of one. They may have any lengths: those of
        similar length are read together, 64 at a time, and none sees another. A token that training
        has not seen is the unknown symbol. Raises InputError for a sentence without tokens.
        """
        rows = _tokens(sentences)
        tags, scores = self.tags, self.scores
        return [
            Tagging(tokens, tuple(tags[index] for index in _best(logits, scores)))
            for tokens, logits in zip(rows, self.logits(rows), strict=True)
        ]

    def logits(self, sentences: Sentence | Sequence[Sentence]) -> list[NDArray[np.float32]]:
        """Logits float32 [time, tags] of each sentence; arguments and errors as those of `tag`."""
        rows = [self._encoded(index, one) for index, one in enumerate(_tokens(sentences))]
        made: dict[int, NDArray[np.float32]] = {}
        for batch in batches_by_length(rows, _ROWS):
            x, lengths = self._tokens_read().stacked([rows[index] for index in batch])
            read = read_logits(self.read(x, lengths), 0)
            made |= {
                index: row[:length]
                for index, row, length in zip(batch, read, lengths.tolist(), strict=True)
            }
        return [made[index] for index in range(len(rows))]

    def read(self, x: ArrayLike, lengths: ArrayLike | None = None) -> NDArray[np.float32]:
        """Logits float32 [batch, time, tags] of whole sequences of ids, zero where padded.

        `x` int64 [batch, time], or [batch, time, 1 + characters + 2] where characters are read
        (`TokenReading`), with `lengths` int64 [batch], each from 1 (default: all of it);
        what lies beyond a length is never looked at. Raises InputError.
        """
        if "step" not in self.manifest.graphs:
            whole: NDArray[np.float32] = read_whole(self, x, lengths)
            return whole
        delay = self._delay
        x, lengths = self._tokens_read().padded(x, lengths, "time", least=1)
        with closing(self.stream(batch_size=len(x))) as stream:
            made = delay.aligned(stream.unroll(delay.read(x), delay.count(lengths)), x.shape[1])
        inside = np.arange(x.shape[1]) < lengths[:, None]
        every: NDArray[np.float32] = np.where(inside[:, :, None], made, np.float32(0))
        return every

    def running(self, tokens: Iterable[str]) -> Iterator[str]:
        """The tag of each token, in order, as soon as `delay` allows.

        They are those of `tag`, and none is missing once the tokens end. Raises StateError for a
        model that reads whole sentences in both directions, InputError for one whose tags depend
        on each other.
        """
        if self.scores is not None:
            raise InputError(
                f"{self.manifest.name} chooses the tags of a sentence together, so none is known "
                "before its end; call tag(sentence)"
            )
        with closing(self.stream()) as stream:
            padding = np.zeros(self._tokens_read().features, np.int64)
            answered = _answered(stream, self._delay, map(self._one, tokens), padding)
            for step, answers in enumerate(answered):
                for logits in read_logits(answers, step):
                    yield self.tags[int(logits.argmax())]

    def nats(
        self, sentences: Sequence[Sentence], tags: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        """How unlikely the right tags are: -log of their probability, in nats.

        One a token, [tokens of all sentences]; of a conditional random field, which has a
        probability of whole sentences, one a sentence. Raises InputError as `tag`, for a tag that
        the model does not know, and where there is not one for each token.
        """
        known = {tag: index for index, tag in enumerate(self.tags)}
        if unknown := {tag for row in tags for tag in row} - set(known):
            raise InputError(
                f"expected tags out of {', '.join(known)}, got {min(unknown)!r}; leave it out"
            )
        rows = [np.array([known[tag] for tag in row], np.int64) for row in tags]
        logits, scores = self.logits(sentences), self.scores
        if [len(row) for row in rows] != [len(row) for row in logits]:
            raise InputError("expected a tag for each token of each sentence, got others")
        return np.concatenate(
            [_nats(row, right, scores) for row, right in zip(logits, rows, strict=True)]
            or [np.zeros(0)]
        )

    def _encoded(self, index: int, tokens: Sequence[str]) -> NDArray[np.int64]:
        if not tokens:
            raise InputError(
                f"sentence {index} has no tokens: there is nothing to tag; leave it out"
            )
        return self._ids(tokens)

    def _ids(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """What the graph reads of tokens, [T] or [T, 1 + characters + 2]."""
        if "input" not in self.vocabularies:
            raise BundleError(f"{self.manifest.name} has no vocabulary 'input'; export it again")
        read = TokenReading.of(self.vocabularies["input"], self.manifest.decoding)
        if read.characters < 0 or self._tokens_read().features != read.columns:
            raise BundleError(
                f"decoding.characters of {self.manifest.name} should fit what a step reads, "
                f"{list(self.reading('sequence').features)} ids, got {read.characters}; export the "
                "bundle again"
            )
        return read.ids(tokens)

    def _one(self, token: str) -> NDArray[np.int64]:
        """What the graph reads of one token, [] or [1 + characters + 2]."""
        [ids] = self._ids([token])
        return np.asarray(ids, np.int64)

    def _tokens_read(self) -> Reading:
        """What the graph reads of one token, whether a step reads one or a window of them."""
        reading, delay = self.reading("sequence"), self._delay
        if not delay.chunk:
            return reading
        columns, rest = divmod(reading.features[0] if reading.features else 0, delay.window)
        if rest or not columns or len(reading.features) != 1:
            raise BundleError(
                f"decoding.delay of {self.manifest.name} says that a step reads {delay.window} "
                f"tokens, but it reads {list(reading.features)} ids; export the bundle again"
            )
        return reading._replace(features=() if columns == 1 else (columns,))


def _answered(
    stream: Stream, delay: Delay, tokens: Iterator[NDArray[np.int64]], padding: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """The logits of tokens, in order: [n, N] of so many of them as soon as they are known."""
    if not delay.chunk:
        for step, row in enumerate(chain(tokens, repeat(padding, delay.steps))):
            logits = stream.step(row[None])
            if step >= delay.steps:
                yield logits
        return
    waiting: list[NDArray[np.int64]] = []
    for row in tokens:
        waiting.append(row)
        if len(waiting) == delay.window:
            yield stream.step(np.stack(waiting).reshape(1, -1)).reshape(delay.chunk, -1)
            del waiting[: delay.chunk]
    while waiting:  # of windows that the end cuts short
        window = [*waiting, *repeat(padding, delay.window - len(waiting))]
        logits = stream.step(np.stack(window).reshape(1, -1)).reshape(delay.chunk, -1)
        yield logits[: len(waiting)]
        del waiting[: delay.chunk]


def _tokens(sentences: Sentence | Sequence[Sentence]) -> list[tuple[str, ...]]:
    """The tokens of each sentence."""
    listed: Any = [sentences] if isinstance(sentences, str) else sentences
    return [tuple(one.split() if isinstance(one, str) else one) for one in listed]


def _best(logits: NDArray[np.float32], scores: TagScores | None) -> list[int]:
    """The best tags of one sentence, of logits [T, N]."""
    if scores is None:
        return [int(index) for index in logits.argmax(-1)]
    paths, _ = best_tags(logits[None], np.array([len(logits)], np.int64), scores)
    return [int(index) for index in paths[0]]


def _nats(
    logits: NDArray[np.float32], tags: NDArray[np.int64], scores: TagScores | None
) -> NDArray[np.float64]:
    """Nats of the tags [T] of one sentence: [T], or [1] where they are chosen together."""
    if scores is None:
        return negative_log_probabilities(logits, tags)
    return tag_nats(logits[None], tags[None], np.array([len(tags)], np.int64), scores)
