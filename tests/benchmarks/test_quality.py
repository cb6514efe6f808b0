"""The table of quality: rows that can be run, figures made again, a page that is theirs."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.quality import __main__ as command
from benchmarks.quality import measuring
from benchmarks.quality.counting import COUNTED
from benchmarks.quality.results import RESULTS, Result, read_results
from benchmarks.quality.rows import Row, chosen, read_rows, told_rows
from benchmarks.quality.table import page
from treadle.data import Pair, Tagged
from treadle.errors import DataError, InputError, QualityError
from treadle.metrics import METRICS
from treadle.vocabulary import Vocabulary
from treadle_train.catalogue import recipe_names

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "The quick brown fox jumps over the lazy dog; pack my box with five dozen jugs.\n" * 140
TINY = """\
[first]
recipe = "characters"
changes = ["data.options.path={path}", "network.hidden_size=16", "network.embedding_size=8",
    "training.epochs=1", "batching.batch_size=4", "batching.steps=16"]
metric = "nats_per_character"
target = 9.5
target_source = "a book"
baseline = "interpolated Kneser-Ney, order 3"

[second]
recipe = "characters"
changes = ["data.options.path={path}", "network.hidden_size=17"]
"""
RESULT = Result(
    recipe="sentiment",
    metric="accuracy",
    higher_is_better=True,
    target=77.68,
    torch=79.34,
    float32=79.34,
    int8=79.44,
    int4=None,
    baseline=50.0,
    examples=1007,
    seconds=60.5,
    bytes_int8=1_234_567,
    seed=0,
    digest="sha256:" + "ab" * 32,
    commit="0123456789ab",
    predictions_sha256="cd" * 32,
    first_200=80.5,
    command="python -m benchmarks.quality sentiment",
    notes={"int4": "refused (too bad)"},
)


@pytest.mark.parametrize("row", read_rows().values(), ids=lambda row: row.name)
def test_every_row_can_be_trained_and_compared(row: Row) -> None:
    assert row.load().task
    assert not row.metric or row.metric in METRICS
    for value, source in (
        (row.target, row.target_source),
        (row.baseline, row.baseline_source),
    ):
        assert value is None or (value in COUNTED if isinstance(value, str) else source)


def test_every_recipe_has_a_row_and_every_result_too() -> None:
    rows = read_rows()
    assert {*recipe_names()} == {row.recipe for row in rows.values()}
    assert {*read_results()} <= {*rows}


def test_the_page_is_made_of_the_results() -> None:
    written = RESULTS.with_name("README.md").read_text(encoding="utf-8")
    assert written == page(told_rows(), read_results()), "run: python -m benchmarks.quality --table"


def test_rows_are_chosen_by_their_name_or_their_recipe() -> None:
    rows = read_rows()
    assert [row.name for row in chosen(rows, ["digits"])] == ["digits"]
    assert len(chosen(rows, ["characters-war-and-peace"])) == 9
    assert chosen(rows, []) == [*rows.values()]
    with pytest.raises(InputError, match="no row is called nonsense"):
        chosen(rows, ["digits", "nonsense"])
    with pytest.raises(InputError, match="x has the keys nonsense"):
        Row.of("x", {"nonsense": 1})


def test_the_page_says_what_is_reached_missed_refused_and_not_measured() -> None:
    rows = {name: read_rows()[name] for name in ("sentiment", "digits")}
    reached = page(rows, {"sentiment": RESULT})
    assert "| 79.34 | **79.44** | – |" in reached
    assert "`sentiment`, int4: refused (too bad)" in reached
    assert "## Missed" not in reached
    assert "## What is not measured yet\n\n- `digits`" in reached
    missed = page(rows, {"sentiment": replace(RESULT, int8=60.0)})
    assert "| 79.34 | 60.00 | – |" in missed
    assert "`sentiment`: 60.00 against 77.68. " in missed
    lower = replace(RESULT, higher_is_better=False)
    assert (RESULT.reached, lower.reached) == (True, False)
    assert replace(RESULT, target=None).reached is None


def test_what_is_no_list_of_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert read_results(path) == {}
    path.write_text('[{"recipe": "x"}]')
    with pytest.raises(DataError, match=r"results\.json"):
        read_results(path)


class Desk:
    """The command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.results = folder / "results.json"
        (folder / "text.txt").write_text(TEXT)
        targets = folder / "targets.toml"
        targets.write_text(TINY.replace("{path}", (folder / "text.txt").as_posix()))
        self.options = [
            *("--runs", str(folder / "runs"), "--bundles", str(folder / "bundles")),
            *("--results", str(self.results), "--targets", str(targets)),
        ]

    def run(self, *arguments: str) -> int:
        return command.main([*arguments, *self.options])

    def read(self) -> dict[str, Result]:
        return read_results(self.results)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("quality"))
    assert desk.run("first") == 0
    return desk


def test_a_row_is_measured_from_training_to_bundles(desk: Desk) -> None:
    result = desk.read()["first"]
    assert result.metric == "nats_per_character"
    figures = (result.torch, result.float32, result.int8, result.int4)
    assert result.torch is not None
    assert list(figures) == pytest.approx([result.torch] * 4, rel=0.05)
    assert 1 < result.torch < 9.5
    assert result.reached is True
    assert result.baseline is not None
    assert result.baseline < 1  # the text repeats itself: counts know it by heart
    assert result.first_200 == pytest.approx(result.int8, rel=0.2)
    assert result.examples == len(TEXT) - len(TEXT) * 9 // 10
    assert result.notes == {}
    assert "| `first` | nats per character ↓ | 9.500 |" in (
        desk.results.with_name("README.md").read_text(encoding="utf-8")
    )


def test_what_is_done_is_not_done_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = desk.read()

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(measuring, "export_run", never)
    monkeypatch.setattr(measuring, "requantize", never)
    assert desk.run("first") == 0
    assert desk.read() == before


def test_quantizing_anew_trains_nothing_and_gives_the_same_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = desk.read()["first"]
    [row] = json.loads(desk.results.read_text())
    desk.results.write_text(json.dumps([row | {"int8": 0.0, "int4": None, "digest": None}]))
    assert desk.read()["first"] != before
    monkeypatch.setattr(measuring, "train", None)
    assert desk.run("--requantize") == 0
    assert desk.read()["first"] == before
    assert "second: not made yet" in capsys.readouterr().err


def test_an_interruption_loses_nothing_that_is_finished(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = measuring.measure

    def interrupted(row: Row, shop: Any) -> Result:
        if row.name == "second":
            raise KeyboardInterrupt
        return done(row, shop)

    before = desk.read()
    desk.results.unlink()
    monkeypatch.setattr(measuring, "measure", interrupted)
    assert desk.run() == 130
    assert desk.read() == before


def test_a_precision_that_is_refused_is_a_note(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = desk.read()

    def refused(*_: Any, **__: Any) -> None:
        raise QualityError("it loses 40 %")

    monkeypatch.setattr(measuring, "requantize", refused)
    kept = desk.results.read_text()
    try:
        assert desk.run("first", "--requantize") == 0
        result = desk.read()["first"]
        assert (result.int8, result.int4, result.reached) == (None, None, None)
        assert result.notes == dict.fromkeys(("int8", "int4"), "refused (it loses 40 %)")
        assert result.float32 == before["first"].float32
    finally:
        desk.results.write_text(kept)


def run_of(metric: str, **splits: Any) -> Any:
    """As much of a run as counting looks at."""
    dataset = SimpleNamespace(split=splits.__getitem__)
    return SimpleNamespace(dataset=lambda: dataset, evaluation={"metric": metric})


def test_labels_and_tags_by_hand() -> None:
    labels = [SimpleNamespace(label=label) for label in "aab"]
    run = run_of("accuracy", train=labels, test=labels[1:])
    assert COUNTED["the most frequent label"](run, "accuracy") == 50
    train = [Tagged(("go", "go", "it", "is"), ("B-x", "O", "O", "O")), Tagged(("go",), ("B-x",))]
    test = [Tagged(("go", "new"), ("B-x", "B-x"))]
    run = run_of("accuracy", train=train, test=test)
    # "go" is B-x twice of three times; a new token gets the tag that is most frequent of all, O.
    assert COUNTED["each token's most frequent tag"](run, "accuracy") == 50
    assert COUNTED["each token's most frequent tag"](run, "span_f1") == pytest.approx(200 / 3)


def run_of_pairs(train: list[Pair], test: list[Pair]) -> Any:
    """As much of a run over words in lower case as counting looks at."""
    run = run_of("rouge_l", train=train, test=test)
    run.vocabularies = {"output": Vocabulary(("<unknown>", "a"), "words", unknown=0)}
    run.decoding = {}
    return run


def test_leads_and_found_answers_by_hand() -> None:
    test = [
        Pair("One two three. Four five six seven. Eight nine ten eleven", ("Eight nine ten",)),
        Pair("a reads", ("b", "one, two")),
    ]
    train = [Pair("four of them", ("x",)), Pair("who reads", ("One, two", "y"))]
    run = run_of_pairs(train, test)
    # "one two three" shares nothing with the right one, "a reads" nothing with either.
    assert COUNTED["the first sentence"](run, "rouge_l") == 0
    # Three of ten words are the right ones, in their order: 2 · 3 / 13.
    assert COUNTED["the first ten words"](run, "rouge_l") == pytest.approx(300 / 13)
    nearest = COUNTED["the target of the nearest training source by BM25"]
    assert nearest(run, "word_error_rate") == 50
    assert COUNTED["BM25 between question and answer"](run, "hits_at_10") == 100  # of 3 answers
