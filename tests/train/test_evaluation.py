"""The figure of a run is what counting by hand gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from tests.train.tiny import TEXT, TINY_CHARACTERS, tiny_transducer, tiny_words
from treadle.errors import InputError
from treadle.tolerances import tolerance
from treadle_train.catalogue import load_recipe
from treadle_train.evaluation import evaluate_run
from treadle_train.greedy import decode_greedily
from treadle_train.networks import LanguageModel, Transducer
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

SAME = tolerance("torch step", "float32").absolute


def test_word_error_rate_counts_any_listed_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: tiny_words())
    run = train(tiny_transducer("training.epochs=8", "training.learning_rate=0.03"), tmp_path)
    network = run.network
    assert isinstance(network, Transducer)
    wrong = 0
    entries = tiny_words().split("test")
    for entry in entries:  # one word at a time, one step at a time
        source = torch.tensor([run.vocabularies["input"].encode(entry.source)])
        context, initial = network.encode(source, torch.tensor([source.shape[1]]))
        said: list[str] = []
        state, token = network.initial_state(1) | initial, 1
        while len(said) < 40:
            logits, state = network.step(torch.tensor([token]), state, context)
            token = int(logits.argmax())
            if token == 2:
                break
            said.append(run.vocabularies["output"].symbols[token])
        wrong += tuple(said) not in entry.targets
    evaluation = evaluate_run(tmp_path)
    assert evaluation.value == pytest.approx(100 * wrong / len(entries))
    assert 0 < evaluation.value < 100
    assert (evaluation.metric, evaluation.unit) == ("word_error_rate", "%")
    assert evaluation.examples == len(entries)
    assert evaluate_run(tmp_path, split="validation", limit=3).examples == 3
    with pytest.raises(InputError, match="limit should be at least 1"):
        evaluate_run(tmp_path, limit=0)


def test_bits_per_character_is_the_mean_surprise_of_one_pass(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    run = train(
        load_recipe("characters", [*TINY_CHARACTERS, f"data.options.path={text}"]), tmp_path / "run"
    )
    network = run.network
    assert isinstance(network, LanguageModel)
    ids = run.vocabularies["symbols"].encode(TEXT[len(TEXT) * 9 // 10 :])
    state, nats = network.initial_state(1), 0.0
    for before, after in zip([run.decoding["start"], *ids], ids, strict=False):
        logits, state = network.step(torch.tensor([before]), state)
        nats -= float(logits.detach().log_softmax(-1)[0, after])
    evaluation = evaluate_run(tmp_path / "run")
    assert evaluation.value == pytest.approx(nats / len(ids) / math.log(2), rel=SAME)
    assert (evaluation.unit, evaluation.examples) == ("bits/character", len(ids))


def test_greedy_decoding_stops_each_row_at_its_own_end_or_at_the_limit() -> None:
    torch.manual_seed(6)
    network = Transducer(5, 6, 4, 16).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(6)  # sharp and varied choices
    source = torch.randint(1, 5, (40, 6))
    lengths = torch.randint(1, 7, (40,))
    decoded = decode_greedily(network, source, lengths, start=1, end=2, max_length=7)
    assert {0, 3, 7} <= {len(ids) for ids in decoded} <= set(range(8))
    for row, ids in enumerate(decoded):
        assert 2 not in ids
        alone = decode_greedily(
            network, source[row : row + 1], lengths[row : row + 1], 1, 2, max_length=7
        )
        assert alone == [ids]
