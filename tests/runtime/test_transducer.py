"""Transducer over a tiny real bundle: order, batches, beams, and what it refuses."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import GRAPHEMES, PHONEMES, reseal, write_transducer
from treadle import answers
from treadle.answers import Hypothesis
from treadle.decoding import Callback, RegularExpression, choices, log_softmax
from treadle.errors import InputError, StateError
from treadle.tolerances import tolerance
from treadle.transducer import Transducer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("onnxruntime")

# A score adds the logits of up to 13 steps, each of which may differ by as much.
SUMMED = 13 * tolerance("batch", "float32").absolute
WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=20), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transducer]:
    directory = tmp_path_factory.mktemp("bundles")
    with treadle.load(write_transducer(directory, start_from_encode=False)) as loaded:
        assert isinstance(loaded, Transducer)
        yield loaded


def by_hand(model: Transducer, word: str) -> Hypothesis:
    """Greedy decoding of one word, written out step by step."""
    ids: list[int] = []
    total, token, finished = 0.0, 1, False
    stream = model.stream([GRAPHEMES.encode(word)])
    for _ in range(model.manifest.decoding["max_length"]):
        logits = np.asarray(stream.step(np.array([token], dtype=np.int64)))[0]
        token = int(logits.argmax())
        total += float(log_softmax(logits)[token])
        if finished := token == 2:
            break
        ids.append(token)
    stream.close()
    symbols = tuple(PHONEMES.decode(ids))
    return Hypothesis(symbols, tuple(ids), " ".join(symbols), total, finished)


@given(words=WORDS)
def test_each_word_is_answered_as_if_alone_and_in_order(
    model: Transducer, words: list[str]
) -> None:
    answers = model.transduce(words)
    for word, [answer] in zip(words, answers, strict=True):
        expected = by_hand(model, word)
        assert answer.ids == expected.ids
        assert answer.score == pytest.approx(expected.score, abs=SUMMED)
        assert dataclasses.replace(answer, score=expected.score) == expected


@given(words=WORDS, beam=st.integers(1, 4))
def test_answers_do_not_depend_on_the_batches(
    model: Transducer, words: list[str], beam: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "MOST_ROWS", 2 * beam)
        cut = model.transduce(words, beam=beam, n_best=beam)
    whole = model.transduce(words, beam=beam, n_best=beam)
    assert [[h.ids for h in found] for found in cut] == [[h.ids for h in f] for f in whole]


def test_a_wider_beam_never_scores_worse_than_greedy(model: Transducer) -> None:
    for word in ("a", "badge", "fed", "hhhh"):
        greedy = model.transduce(word, max_length=4)[0][0]
        wide = model.transduce(word, beam=300, n_best=3, length_normalization=0.0, max_length=4)[0]
        same_kind = [h.score for h in wide if h.finished == greedy.finished]
        assert len(wide) == 3
        if same_kind:
            assert max(same_kind) >= greedy.score - SUMMED


@given(words=WORDS)
def test_what_was_decoded_scores_what_decoding_said(model: Transducer, words: list[str]) -> None:
    best = {word: found[0] for word, found in zip(words, model.transduce(words), strict=True)}
    ended = [word for word in words if best[word].finished and 0 not in best[word].ids]
    scores = model.score(ended, [best[word].text for word in ended])
    for word, score in zip(ended, scores, strict=True):
        assert score.count == len(best[word].symbols) + 1
        assert -score.nats.sum() == pytest.approx(best[word].score, abs=SUMMED)


def test_a_score_needs_an_answer_for_each_text(model: Transducer) -> None:
    assert model.score([], []) == []
    with pytest.raises(InputError, match="expected one answer for each text, got 1 for 2 texts"):
        model.score(["a", "b"], ["AA"])


def test_a_string_is_a_list_of_one_and_no_texts_are_no_answers(model: Transducer) -> None:
    assert model.transduce("abc") == model.transduce(["abc"])
    assert model.transduce([]) == []


def test_a_hypothesis_is_frozen(model: Transducer) -> None:
    [[answer]] = model.transduce("abc")
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.score = 0.0  # type: ignore[misc]


def test_max_length_cuts(model: Transducer) -> None:
    [[answer]] = model.transduce("abcdefgh", max_length=1)
    assert len(answer.ids) + answer.finished == 1


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["ab", ""], {}, r"expected a text of at least one symbol, got ''"),
        (["abxy"], {}, r"in 'abxy', the symbol 'x' at position 2 is not in the vocabulary"),
        (["a"], {"n_best": 2}, r"expected 1 <= n_best <= beam, got n_best 2 and beam 1"),
        (["a"], {"beam": 0}, r"expected 1 <= n_best <= beam"),
        (["a"], {"max_length": 0}, r"max_length should be at least 1, got 0"),
        (["a"], {"beam": 2, "temperature": 1.0}, r"no options of sampling with a beam, got beam 2"),
        (["a"], {"beam": 2, "min_p": 0.5}, r"no options of sampling with a beam, got beam 2"),
        (["a"], {"min_p": 2.0}, r"min_p should be from 0 to 1, got 2"),
        (["a"], {"stop": [""]}, r"stop strings of at least one character"),
        (["a"], {"time_limit": -1.0}, r"time_limit should be 0 seconds or more, got -1"),
        (["a"], {"beam": 2, "length_normalization": -1.0}, r"should be 0 or more, got -1\.0"),
    ],
)
def test_what_it_refuses(
    model: Transducer, texts: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.transduce(texts, **options)


def test_an_unknown_symbol_may_be_asked_for(tmp_path: Path) -> None:
    import json

    bundle = write_transducer(tmp_path)
    vocabulary = json.loads((bundle / "input.json").read_text())
    vocabulary["unknown"] = 0
    (bundle / "input.json").write_text(json.dumps(vocabulary))
    reseal(bundle, json.loads((bundle / "manifest.json").read_text()))
    with treadle.load(bundle, unknown="symbol") as model:
        assert isinstance(model, Transducer)
        assert len(model.transduce("aXb")) == 1


def test_logits_that_are_not_finite_never_become_symbols(
    model: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream_type = type(model.stream([[1]]))
    monkeypatch.setattr(
        stream_type, "step", lambda self, *_, **__: np.full((self.batch_size, 10), np.nan, "f")
    )
    with pytest.raises(StateError, match="expected finite logits, got NaN or infinity in row 0"):
        model.transduce("abc")


@given(words=WORDS, beam=st.integers(1, 3))
def test_constrained_answers_are_what_the_constraint_means(
    model: Transducer, words: list[str], beam: int
) -> None:
    pattern = RegularExpression("(AA|B)( CH){1,2}( D)?", PHONEMES)
    for found in model.transduce(words, beam=beam, n_best=beam, constraint=pattern):
        assert len({answer.ids for answer in found}) == len(found) == beam
        for answer in found:
            assert re.fullmatch("(AA|B)( CH){1,2}( D)?", answer.text)


def test_a_constraint_with_fewer_answers_gives_fewer(model: Transducer) -> None:
    few = choices(["AA B", "CH"], PHONEMES)
    [found] = model.transduce("abc", beam=5, n_best=5, constraint=few)
    ended = [answer for answer in found if answer.finished]
    assert {answer.text for answer in ended} == {"AA B", "CH"} == {a.text for a in found}
    scores = model.score(["abc"] * 2, [answer.text for answer in ended])
    for answer, score in zip(ended, scores, strict=True):
        length = ((5 + score.count) / 6) ** 0.6
        assert answer.score == pytest.approx(-score.nats.sum() / length, abs=SUMMED)


@given(words=WORDS, seed=st.integers(0, 1000))
def test_a_drawn_answer_does_not_depend_on_its_batch(
    model: Transducer, words: list[str], seed: int
) -> None:
    options: dict[str, Any] = {"temperature": 2.0, "min_p": 0.01, "seed": seed}
    whole = model.transduce(words, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "MOST_ROWS", 1)
        alone = model.transduce(words, **options)
    assert [[h.ids for h in found] for found in whole] == [[h.ids for h in f] for f in alone]


def test_another_seed_draws_another_answer(model: Transducer) -> None:
    drawn = {model.transduce("abc", temperature=3.0, seed=seed)[0][0].ids for seed in range(8)}
    assert len(drawn) > 1


@given(words=WORDS, stop=st.sampled_from(["B", "CH", "A B", "D D", " ", "H E"]))
def test_an_answer_ends_before_a_stop_string(
    model: Transducer, words: list[str], stop: str
) -> None:
    options: dict[str, Any] = {"temperature": 3.0, "seed": 1}
    full = model.transduce(words, **options)
    for [before], [answer] in zip(full, model.transduce(words, stop=stop, **options), strict=True):
        if stop not in before.text:
            assert answer == before
            continue
        text = before.text[: before.text.index(stop)]
        assert (answer.text, answer.finished) == (text, True)
        assert text.startswith(PHONEMES.text(answer.ids))
        assert answer.symbols == tuple(PHONEMES.decode(answer.ids))
        assert answer.symbols == before.symbols[: len(answer.symbols)]
        assert len(PHONEMES.text(before.ids[: len(answer.ids) + 1])) > len(text)


def test_a_beam_ends_hypotheses_at_stop_strings(model: Transducer) -> None:
    found = model.transduce("abcd", beam=20, n_best=20, stop=["AA", "B"])[0]
    assert not any("AA" in answer.text or "B" in answer.text for answer in found)


def test_a_time_limit_leaves_every_text_a_step(model: Transducer) -> None:
    words = ["abc", "d", "efgh"]
    for beam in (1, 3):
        answers = model.transduce(words, beam=beam, time_limit=0)
        assert all(len(best.ids) + best.finished == 1 for [best] in answers)


def test_a_time_limit_is_for_all_texts_together(
    model: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    stream_type = type(model.stream([[1]]))
    original = stream_type.step

    def counted(self: Any, x: Any, **options: Any) -> Any:
        steps.append(1)
        return original(self, x, **options)

    monkeypatch.setattr("treadle.answers.MOST_ROWS", 1)
    monkeypatch.setattr(stream_type, "step", counted)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(steps)))
    never_ends = Callback(lambda ids: range(3, 10))  # noqa: ARG005
    answers = model.transduce(["a", "bb", "ccc"], constraint=never_ends, time_limit=3.5)
    assert [len(best.ids) for [best] in answers] == [4, 1, 1]
