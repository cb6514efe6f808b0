"""LanguageModel over a tiny real bundle: streaming text, scores, and what it refuses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import CHARACTERS, write_language_model
from treadle import language_model as module
from treadle.decoding import Sampler, log_softmax
from treadle.errors import InputError, StateError
from treadle.language_model import LanguageModel
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
