"""SpeechTransducer: frames of speech to symbols, whole or while they come, by CTC or by RNN-T."""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.arrays import Reading
from treadle.bound_step import naming
from treadle.bundle import Bundle
from treadle.decoding import CTCDecoder, RNNTDecoder, log_softmax, read_logits
from treadle.decoding.alignments import ctc_nats, rnnt_nats
from treadle.errors import BundleError, DeviceError, InputError
from treadle.model import Model
from treadle.searchable import usual_beam
from treadle.session import engine_errors
from treadle.stacking import stacked
from treadle.transcriber import Transcriber

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.decoding import EndPoint
    from treadle.stream import Stream
    from treadle.transcriber import Transcription
    from treadle.vocabulary import Vocabulary

# Rows of one call: enough that a call costs nothing against them, few enough for any memory.
_ROWS = 64
KINDS = ("ctc", "rnn-t")


class SpeechTransducer(Model):
    """A model of the task "speech-transduction": dense frames in, few symbols out.

    The manifest's `decoding` says its kind, the id of the blank, and how many frames a step reads.
    The graphs of one by CTC give logits; one by RNN-T has a predictor and a joiner besides.
    """

    @property
    def symbols(self) -> Vocabulary:
        """What can be said, and the blank. Raises BundleError where that is not what is decoded."""
        vocabulary = self.vocabularies.get("output")
        head = "step" if self.kind == "ctc" else "joiner"
        size = self.manifest.graphs[head].outputs[0].shape[-1]
        if vocabulary is None or len(vocabulary) != size:
            raise BundleError(
                f"{self.manifest.name} should have a vocabulary 'output' of {size} symbols, as "
                f"many as graphs.{head} gives logits; export the bundle again"
            )
        return vocabulary

    @property
    def kind(self) -> str:
        """How it was trained, and is decoded: "ctc" or "rnn-t"."""
        kind = self.manifest.decoding.get("kind")
        if kind not in KINDS or (kind == "rnn-t") != ("joiner" in self.manifest.graphs):
            raise BundleError(
                f"decoding.kind of {self.manifest.name} should be one of {', '.join(KINDS)} and "
                f"fit its graphs ({', '.join(self.manifest.graphs)}), got {kind!r}; export it again"
            )
        return str(kind)

    @property
    def blank(self) -> int:
        """The id of the symbol that says nothing."""
        return self._number("blank", 0, len(self.symbols) - 1)

    @property
    def frames(self) -> int:
        """How many frames a step reads."""
        return self._number("frames", 1, self.reading("step").features[0])

    @property
    def frame(self) -> Reading:
        """What a frame is: float32 [features]."""
        size, rest = divmod(self.reading("step").features[0], self.frames)
        if rest:
            raise BundleError(
                f"decoding.frames of {self.manifest.name} should divide what a step reads, got "
                f"{self.frames}; export the bundle again"
            )
        return Reading("frames", np.dtype(np.float32), (size,), None)

    def transcribe(
        self,
        inputs: ArrayLike | Sequence[ArrayLike],
        *,
        beam: int | None = None,
        n_best: int = 1,
        max_symbols: int | None = None,
    ) -> list[list[Transcription]]:
        """Up to `n_best` transcripts of each whole utterance, best first, in the inputs' order.

        An utterance is float32 [time, features] of any length; one alone is a list of one. Those of
        similar length are read together, 64 at a time, and none sees another's length. `beam`,
        `max_symbols`: as `transcriber` has them. Raises InputError for an utterance without frames,
        numbers that are not finite, and another dtype or shape.
        """
        alone = isinstance(inputs, np.ndarray) and inputs.dtype != object and inputs.ndim == 2
        listed: Any = [inputs] if alone else inputs
        rows = [self._checked(index, one) for index, one in enumerate(listed)]
        made: dict[int, list[Transcription]] = {}
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for first in range(0, len(rows), _ROWS):
            chosen = order[first : first + _ROWS]
            x, lengths = self.frame.stacked([rows[index] for index in chosen])
            with self.transcriber(
                batch_size=len(chosen), beam=beam, max_symbols=max_symbols
            ) as listening:
                listening.feed(x, lengths)
                made |= zip(chosen, listening.final(n_best=n_best), strict=True)
        return [made[index] for index in range(len(rows))]

    def transcriber(
        self,
        *,
        batch_size: int = 1,
        beam: int | None = None,
        max_symbols: int | None = None,
        end_point: EndPoint | None = None,
    ) -> Transcriber:
        """What reads `batch_size` utterances side by side, while their frames come.

        beam: how many hypotheses are kept; 1 is greedy search, None takes the bundle's.
        max_symbols: the most that greedy search of RNN-T may emit in a step. end_point: when an
        utterance is over by itself; it counts steps, of `frames` frames each. Raises InputError.
        """
        if self.kind == "ctc" and max_symbols is not None:
            raise InputError(
                f"{self.manifest.name} is decoded by CTC, which has one symbol a step at most; "
                "leave max_symbols out"
            )
        kept = usual_beam(self.manifest) if beam is None else beam
        stream = self.stream(batch_size=batch_size)
        try:
            decoder, predictor = self._decoder(
                batch_size, None if kept == 1 else kept, max_symbols, end_point
            )
        except BaseException:
            stream.close()
            raise
        return Transcriber(
            stream, decoder, predictor, symbols=self.symbols, frame=self.frame, count=self.frames
        )

    def nats(
        self, inputs: Sequence[ArrayLike], transcripts: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        """How unlikely the transcript of each utterance is, over all alignments: float64 [N].

        Raises InputError as `transcribe`, for symbols that the model does not know, and for a
        transcript that has no alignment with so few frames.
        """
        said = [self.symbols.encode_symbols(transcript) for transcript in transcripts]
        if len(inputs) != len(said):
            raise InputError(
                f"expected a transcript for each of {len(inputs)} utterances, got {len(said)}"
            )
        rows = [self._checked(index, one) for index, one in enumerate(inputs)]
        measure = self._ctc_nats if self.kind == "ctc" else self._rnnt_nats
        found = np.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for first in range(0, len(rows), _ROWS):
            chosen = order[first : first + _ROWS]
            encoded = self._encoded([rows[index] for index in chosen])
            found[chosen] = measure(encoded, [said[index] for index in chosen])
        return found

    def _ctc_nats(self, logits: list[NDArray[np.float32]], said: list[list[int]]) -> list[float]:
        pairs = zip(logits, said, strict=True)
        return [ctc_nats(log_softmax(read_logits(x, 0)), ids, self.blank) for x, ids in pairs]

    def _rnnt_nats(self, encoded: list[NDArray[np.float32]], said: list[list[int]]) -> list[float]:
        """The joiner is asked about every step with every beginning of a transcript."""
        longest = max(map(len, said))
        read = np.full((len(said), longest + 1), self.blank, np.int64)
        for row, ids in enumerate(said):
            read[row, 1 : len(ids) + 1] = ids
        with closing(self.predictor.stream(batch_size=len(said))) as stream:
            predicted = np.stack([stream.step(column) for column in read.T], axis=1)
        made = []
        for x, ids, row in zip(encoded, said, predicted, strict=True):
            places = len(ids) + 1
            joined = self.join(np.repeat(x, places, axis=0), np.tile(row[:places], (len(x), 1)))
            lattice = log_softmax(read_logits(joined, 0)).reshape(len(x), places, -1)
            made.append(rnnt_nats(lattice, ids, self.blank))
        return made

    @cached_property
    def predictor(self) -> Model:
        """What an RNN-T's decoder steps by symbols, as a model of its own.

        It closes with this one. Raises BundleError where the bundle has none.
        """
        if self.kind != "rnn-t":
            raise BundleError(f"{self.manifest.name} is decoded by CTC and has no predictor")
        graph = self.manifest.graphs["predictor"]
        # Its step is this bundle's `predictor`; ids are of the vocabulary that is put out.
        manifest = self.manifest._replace(
            task="language-modelling",
            graphs={"step": graph, "sequence": graph},
            vocabularies={"symbols": self.manifest.vocabularies["output"]},
        )
        # The files stay this model's: closing the predictor leaves them where they are.
        bundle = Bundle(self.bundle.path, manifest)
        return Model(bundle, self.hardware, call=self.call)

    def join(
        self, encoded: NDArray[np.float32], predicted: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Logits [rows, symbols] of an encoder's steps [rows, J] and a predictor's outputs.

        Raises DeviceError.
        """
        graph = self.manifest.graphs["joiner"]
        names = [tensor.name for tensor in graph.inputs]
        feeds = dict(zip(names, (encoded, predicted), strict=True))
        try:
            made = self.session("joiner").run([graph.outputs[0].name], feeds)
        except engine_errors() as error:
            raise DeviceError(f"onnxruntime failed to run the joiner: {error}") from error
        logits: NDArray[np.float32] = naming(graph)(made)
        return logits

    def close(self) -> None:
        """Close the predictor too, where it was opened."""
        if "predictor" in self.__dict__:
            self.predictor.close()
        super().close()

    def _decoder(
        self, rows: int, beam: int | None, max_symbols: int | None, end_point: EndPoint | None
    ) -> tuple[CTCDecoder | RNNTDecoder, Stream | None]:
        """A decoder of fresh rows, and the stream that it steps."""
        size = len(self.symbols)
        if self.kind == "ctc":
            made = CTCDecoder(
                size, batch_size=rows, blank=self.blank, beam=beam, end_point=end_point
            )
            return made, None
        stream = self.predictor.stream(batch_size=rows * (1 if beam is None else beam))
        try:
            decoder = RNNTDecoder(
                stream,
                self.join,
                symbols=size,
                features=int(self.manifest.graphs["step"].outputs[0].shape[1]),
                blank=self.blank,
                beam=beam,
                max_symbols=max_symbols,
                end_point=end_point,
            )
        except BaseException:
            stream.close()
            raise
        return decoder, stream

    def _encoded(self, rows: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """What the encoder gives at each step of whole utterances, [steps, …] each."""
        steps = [stacked(row, self.frames) for row in rows]
        x, lengths = self.reading("sequence").stacked(steps)
        with closing(self.stream(batch_size=len(rows))) as stream:
            outputs = stream.unroll(x, lengths)
        return [output[:length] for output, length in zip(outputs, lengths, strict=True)]

    def _checked(self, index: int, one: ArrayLike) -> NDArray[np.float32]:
        """One utterance, [time, features]."""
        frames = self.frame.array(one, "time")
        if not len(frames):
            raise InputError(
                f"utterance {index} has no frames: there is nothing to transcribe; leave it out"
            )
        self.frame.check_values(frames)
        return frames

    def _number(self, key: str, least: int, most: int) -> int:
        value = self.manifest.decoding.get(key)
        if type(value) is not int or not least <= value <= most:
            raise BundleError(
                f"decoding.{key} of {self.manifest.name} should be an integer in {least}..{most}, "
                f"got {value!r}; export the bundle again"
            )
        return value
