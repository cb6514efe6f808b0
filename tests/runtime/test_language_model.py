"""LanguageModel over a tiny real bundle: streaming text, scores, and what it refuses."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import CHARACTERS, write_language_model
from treadle import score as module
from treadle.decoding import (
    Lexicon,
    RegularExpression,
    Sampler,
    choices,
    log_softmax,
)
from treadle.errors import InputError, StateError
from treadle.language_model import LanguageModel
from treadle.score import Score
from treadle.tolerances import tolerance

if TYPE_CHECKING:
    from collections.abc import Iterator


pytest.importorskip("onnxruntime")

TEXTS = st.text(" abcdefgh\n", min_size=1, max_size=40)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with treadle.load(write_language_model(tmp_path_factory.mktemp("bundles"))) as loaded:
        assert isinstance(loaded, LanguageModel)
        yield loaded


def step_by_step(
    model: LanguageModel, ids: list[int]
) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Logits after start and after each id, one step a call."""
    with model.stream() as stream:
        return [np.asarray(stream.step(np.array([i], np.int64)))[0].copy() for i in [1, *ids]]


@given(text=TEXTS, chunk=st.integers(1, 50))
def test_a_score_is_the_sum_over_single_steps(model: LanguageModel, text: str, chunk: int) -> None:
    ids = CHARACTERS.encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        score = model.score(text)
    logits = step_by_step(model, ids)
    expected = [-log_softmax(row)[i] for row, i in zip(logits, ids, strict=False)]
    assert score.nats.dtype == np.float64
    np.testing.assert_allclose(
        score.nats, expected, rtol=0, atol=tolerance("chunk", "float32").absolute
    )
    assert score.count == len(text)
    assert score.bits_per_symbol == pytest.approx(score.nats.mean() / math.log(2))


@given(texts=st.lists(TEXTS, max_size=5), chunk=st.integers(1, 50))
def test_scores_of_many_are_those_of_each(
    model: LanguageModel, texts: list[str], chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        together = model.score(texts)
    assert len(together) == len(texts)
    for score, text in zip(together, texts, strict=True):
        limit = tolerance("batch", "float32").absolute
        np.testing.assert_allclose(score.nats, model.score(text).nats, rtol=0, atol=limit)


PROMPTS = st.lists(st.text("abcdefgh", max_size=6), max_size=4)


@given(prompts=PROMPTS, seed=st.integers(0, 2**31), temperature=st.sampled_from([0.0, 0.7]))
def test_completions_are_what_is_generated_row_by_row(
    model: LanguageModel, prompts: list[str], seed: int, temperature: float
) -> None:
    """Each row ends on its own, draws its own numbers, and knows its own prompt alone."""
    options = {"max_length": 6, "temperature": temperature, "seed": seed}
    together = model.complete(prompts, **options)  # type: ignore[arg-type]
    assert len(together) == len(prompts)
    for number, (prompt, [found]) in enumerate(zip(prompts, together, strict=True)):
        sampler = Sampler(temperature, seed=seed)
        ids, again = CHARACTERS.encode(prompt), list[int]()
        for step in range(6):
            logits = step_by_step(model, ids + again)[-1][None]
            again.append(int(sampler.draw(logits, step, rows=[number])[0]))
            if again[-1] == CHARACTERS.end:
                break
        assert list(found.ids) == [i for i in again if i != CHARACTERS.end]


def test_a_beam_completes_at_least_as_well_as_greedy_search(model: LanguageModel) -> None:
    options = {"max_length": 5, "length_normalization": 0.0}
    prompts = ["abc", "", "hgfe"]
    wide = model.complete(prompts, beam=4, n_best=3, **options)  # type: ignore[arg-type]
    greedy = model.complete(prompts, **options)  # type: ignore[arg-type]
    for found, [narrow] in zip(wide, greedy, strict=True):
        assert len(found) == 3
        assert found[0].score >= narrow.score - 1e-4
    [[alone]] = model.complete("abc", **options)  # type: ignore[arg-type]
    assert alone.ids == greedy[0][0].ids


@pytest.mark.parametrize("beam", [1, 3])
def test_completions_end_where_a_constraint_allows_nothing_more(
    model: LanguageModel, beam: int
) -> None:
    constraint = choices(["abc", "ab", "cab"], CHARACTERS)
    answers = model.complete(["a", "bb"], max_length=9, beam=beam, constraint=constraint)
    for [found] in answers:
        assert found.text in {"abc", "ab", "cab"}
        assert found.finished


@given(prompt=st.text("abcdefgh", max_size=8), seed=st.integers(0, 2**63))
def test_generation_carries_its_state(model: LanguageModel, prompt: str, seed: int) -> None:
    options = {"temperature": 0.8, "top_k": 6, "top_p": 0.95}
    made = list(model.generate(prompt, max_length=8, seed=seed, **options))  # type: ignore[arg-type]
    sampler = Sampler(seed=seed, **options)  # type: ignore[arg-type]
    ids = CHARACTERS.encode(prompt)
    again: list[int] = []
    for step in range(8):
        again.append(int(sampler.draw(step_by_step(model, ids + again)[-1][None], step)[0]))
    assert made == [CHARACTERS.symbols[i] for i in again if i != CHARACTERS.unknown]


def test_the_same_seed_gives_the_same_text_and_another_another(model: LanguageModel) -> None:
    texts = ["".join(model.generate("ab", max_length=40, seed=seed)) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_symbols_come_as_they_are_made(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream_type = type(model.stream())
    steps: list[Any] = []
    original = stream_type.step

    def counted(self: Any, x: Any, **options: Any) -> Any:
        steps.append(x)
        return original(self, x, **options)

    monkeypatch.setattr(stream_type, "step", counted)
    symbols = model.generate("a", max_length=1000, temperature=0.0)
    assert len(steps) == 0
    next(symbols)
    assert len(steps) == 0  # the prompt is one call of the sequence graph
    next(symbols)
    assert len(steps) == 1


def test_nothing_asked_nothing_made(model: LanguageModel) -> None:
    assert list(model.generate("abc", max_length=0)) == []


def test_mistakes_are_raised_before_the_first_symbol(model: LanguageModel) -> None:
    with pytest.raises(InputError, match="the symbol 'z' at position 1 is not in the vocabulary"):
        model.generate("az", max_length=3)
    with pytest.raises(InputError, match="max_length should be 0 or more, got -1"):
        model.generate(max_length=-1)
    with pytest.raises(InputError, match="top_k should be at least 1, got 0"):
        model.generate(max_length=1, top_k=0)


def test_an_empty_text_has_no_score(model: LanguageModel) -> None:
    with pytest.raises(InputError, match="at least one symbol to score"):
        model.score("")


def test_an_unknown_symbol_may_be_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = write_language_model(tmp_path_factory.mktemp("bundles"))
    with treadle.load(bundle, unknown="symbol") as model:
        assert isinstance(model, LanguageModel)
        assert model.score("aZb").count == 3


def test_logits_that_are_not_finite_never_become_a_score(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream_type = type(model.stream())
    monkeypatch.setattr(
        stream_type, "unroll", lambda *_, **__: np.full((1, 3, len(CHARACTERS)), np.nan, "f")
    )
    with pytest.raises(StateError, match="expected finite logits"):
        model.score("abc")


def text_of(model: LanguageModel, prompt: str = "ab", **options: Any) -> str:
    return "".join(model.generate(prompt, **{"max_length": 40, **options}))


@given(
    seed=st.integers(0, 500),
    stops=st.lists(st.text("abcd\n ", min_size=1, max_size=2), max_size=3),
)
def test_a_text_ends_before_the_first_stop_string(
    model: LanguageModel, seed: int, stops: list[str]
) -> None:
    full = text_of(model, seed=seed)
    places = [full.index(stop) for stop in stops if stop in full]
    # Symbols are characters: of stops that overlap, the one that is complete first counts.
    ends = [full.index(stop) + len(stop) for stop in stops if stop in full]
    first = min((end, place) for end, place in zip(ends, places, strict=True)) if ends else None
    assert text_of(model, seed=seed, stop=stops) == (full if first is None else full[: first[1]])


def test_after_a_stop_string_no_step_is_made(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = text_of(model, seed=3)
    steps = counted_steps(model, monkeypatch)
    assert text_of(model, seed=3, stop=full[4:7]) == full[: full.index(full[4:7])]
    assert len(steps) == full.index(full[4:7]) + 2


def counted_steps(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    steps: list[Any] = []
    stream_type = type(model.stream())
    original = stream_type.step

    def counted(self: Any, x: Any, **options: Any) -> Any:
        steps.append(x)
        return original(self, x, **options)

    monkeypatch.setattr(stream_type, "step", counted)
    return steps


def test_the_time_limit_ends_a_text_after_the_step_that_passes_it(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = text_of(model, seed=3, max_length=10)
    steps = counted_steps(model, monkeypatch)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(steps)))
    assert text_of(model, seed=3, max_length=10, time_limit=2.5) == full[:4]
    assert len(steps) == 3


@given(seed=st.integers(0, 500))
def test_a_constrained_text_is_what_the_constraint_means(model: LanguageModel, seed: int) -> None:
    pattern = RegularExpression("(a|b)c{2,3}(d|eh)", CHARACTERS)
    # Without an end symbol a text is over where the constraint lets nothing follow.
    assert re.fullmatch("(a|b)c{2,3}(d|eh)", text_of(model, seed=seed, constraint=pattern))
    answers = ["bad", "bed", "cab"]
    assert text_of(model, seed=seed, constraint=choices(answers, CHARACTERS)) in answers
    words = Lexicon.of_texts(answers, CHARACTERS, " ")
    *whole, last = text_of(model, seed=seed, constraint=words).split(" ")
    assert set(whole) <= set(answers)
    assert any(answer.startswith(last) for answer in answers)


def test_a_constrained_text_ends_at_the_end_symbol_where_it_is_complete(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    [h] = CHARACTERS.encode("h")
    pairs = RegularExpression("(ab)*", CHARACTERS)
    assert text_of(model, constraint=pairs) == "ab" * 20  # no end symbol, and more may follow
    monkeypatch.setattr(model.vocabularies["symbols"], "end", h)
    texts = {text_of(model, constraint=pairs, seed=seed) for seed in range(20)}
    assert all(re.fullmatch("(ab)*", text) for text in texts)
    assert len(texts) > 1


def test_a_function_constrains_by_the_ids_made_after_the_prompt(model: LanguageModel) -> None:
    asked: list[tuple[int, ...]] = []
    d, e = CHARACTERS.encode("de")

    def alternately(ids: tuple[int, ...]) -> list[int]:
        asked.append(ids)
        return [d, e][len(ids) % 2 :][:1]

    assert text_of(model, "abc", max_length=4, constraint=alternately) == "dede"
    assert asked == [(), (d,), (d, e), (d, e, d)]


def test_a_constraint_that_allows_nothing_ends_in_an_error(model: LanguageModel) -> None:
    [d] = CHARACTERS.encode("d")
    with pytest.raises(InputError, match=r"got none after the ids \[\]"):
        text_of(model, constraint=lambda ids: [])  # noqa: ARG005
    symbols = model.generate(max_length=5, constraint=lambda ids: [] if ids else [d])
    assert next(symbols) == "d"
    with pytest.raises(StateError, match=rf"got none after the ids \[{d}\]"):
        next(symbols)


def test_the_penalty_and_min_p_reach_the_sampler(model: LanguageModel) -> None:
    stuck = text_of(model, temperature=0.0)
    varied = text_of(model, temperature=0.0, repetition_penalty=100.0)
    assert len(set(stuck[:9])) < len(set(varied[:9]))
    assert text_of(model, min_p=1.0, temperature=2.0) == stuck


def test_new_options_raise_before_the_first_symbol(model: LanguageModel) -> None:
    with pytest.raises(InputError, match="min_p should be from 0 to 1, got 2"):
        model.generate(max_length=1, min_p=2.0)
    with pytest.raises(InputError, match="repetition_penalty should be above 0"):
        model.generate(max_length=1, repetition_penalty=-1.0)
    with pytest.raises(InputError, match="stop strings of at least one character"):
        model.generate(max_length=1, stop=[""])
    with pytest.raises(InputError, match="time_limit should be 0 seconds or more"):
        model.generate(max_length=1, time_limit=-1.0)


def test_perplexity_is_what_a_score_leaves_open(model: LanguageModel) -> None:
    nats = model.score("abcd").nats
    assert model.perplexity("abcd") == pytest.approx(np.prod(np.exp(nats)) ** (1 / 4))
    assert Score(np.array([1000.0])).perplexity == math.inf
    with pytest.raises(InputError, match="at least one symbol to score"):
        model.perplexity("")
