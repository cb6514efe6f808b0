"""Every page of docs/ runs from its top to its end, on tiny models in the place of those it names.

What a page shows in Python runs, its blocks in one namespace; so do its quick commands. A block
that does not run has a comment before it that says why.
"""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

import treadle.data
from tests.project.page_models import DATASETS, MODELS
from tests.project.pages import QUICK, Block, blocks_of, run_page
from tests.project.repository import ROOT
from treadle.manifest import Manifest
from treadle.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Names = dict[str, Any]

PAGES = sorted((ROOT / "docs").rglob("*.md"))
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
LANGUAGES = {"bash", "javascript", "json", "python", "text", "toml"}
FRAMES = np.random.default_rng(0).normal(size=(1, 7, 5)).astype(np.float32)

# What the tiny models' vocabularies lack gives way to what they have.
INSTEAD = {
    "classification": {"sentiment-forward": "sentiment"},
    "decoding": {
        '"treadle"': '"cabbage"',
        '"The "': '"a bed "',
        '["yes", "no", "none"]': '["bad", "egg"]',
        '["red", "green", "blue"]': '["fed", "had"]',
        'separators=", "': 'separators=" "',
    },
    "embed": {'"The "': '"a bed "', '"the model"': '"bad egg"'},
    "generation": {"China": "c", "Luxemburg": "d", "Deutschland": "e", "M:3/4": "AA"},
    "one-call": {"hello": "cabbage", "world": "bead"},
    "tagging": {"tag-pos-forward": "tag-pos"},
    "transduction": {
        ', unknown="symbol"': "",
        "私 は 泳げ な い 。": "cabbage",
        "君 は 誰 ?": "bead",
        "who are you ?": "AA B",
        "it is late .": "CH D",
    },
}
# What a page speaks of and does not make.
GIVEN: dict[str, Names] = {
    "adopting": {"frame": FRAMES[:, 0], "frames": FRAMES, "lengths": np.array([7])},
}


def a_stream(names: Names, printed: str) -> None:
    assert names["stream"].reprimed.all()
    assert names["stream"].steps.tolist() == [5]
    assert names["saved"].steps.tolist() in ([4], [5])
    assert np.isfinite(names["logits"]).all()
    assert "CPUExecutionProvider" in printed
    assert [len(answer) for answer in names["answers"].values()] == [11, 11]


def decoded(names: Names, printed: str) -> None:
    *_, choice, words, expression, first, second, third = printed.splitlines()
    drawn = re.match(r"(.*?)([0-9]+\.[0-9]+)\n", printed, re.DOTALL)
    assert drawn is not None
    assert "\n\n" not in drawn[1]
    assert 1 < float(drawn[2]) < 1000
    assert choice in ("bad", "egg")
    assert set(words.split(" ")[:-1]) <= {"fed", "had"}
    assert re.fullmatch("[a-f]{2,4}( [a-f]{2,4}){3}", expression)
    for answer in (first, second, third):
        assert not re.search(r"\b(\w+) \1\b", answer.partition(" ")[2])


def as_its_comments_say(names: Names, printed: str) -> None:
    text = "".join(block.text for block in blocks_of(ROOT / "docs/speech-decoding.md"))
    said = re.findall(r"^print\(.*\)  # (.*)$", text, flags=re.MULTILINE)
    assert len(said) == text.count("print(")
    assert printed.splitlines() == said


def went_on_after_a_restart(names: Names, printed: str) -> None:
    assert names["continued"] == names["expected"]
    assert "should be int64" in names["refused"]
    assert len(names["answers"]) == 2


def adopted_on_the_device(names: Names, printed: str) -> None:
    assert names["gains"].shape == (1, 16)
    assert names["same"] is True


def cut_into_frames(names: Names, printed: str) -> None:
    assert len(names["heard"]) == 6
    assert (names["fed"] == names["heard"][-1]).all()


OUTCOMES: dict[str, Callable[[Names, str], None]] = {
    "audio": cut_into_frames,
    "decoding": decoded,
    "device": adopted_on_the_device,
    "embed": went_on_after_a_restart,
    "speech-decoding": as_its_comments_say,
    "streams": a_stream,
}


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, as installed."""
    text = (resources.files("treadle") / "schema/manifest.schema.json").read_text("utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


def runnable(page: Path) -> list[Block]:
    """The blocks of a page that a test runs, Python and commands."""
    return [b for b in blocks_of(page) if not b.order and b.language in ("python", "bash")]


def models_of(page: Path) -> list[str]:
    """The models that what runs of a page opens, under the names that the page says."""
    lines = [line for block in runnable(page) for line in block.text.splitlines()]
    quick = tuple(f"treadle {name} " for name in QUICK)
    text = "\n".join(
        line for line in lines if not line.startswith("treadle ") or line.startswith(quick)
    )
    for theirs, ours in INSTEAD.get(page.stem, {}).items():
        text = text.replace(theirs, ours)
    ends = r"\.(treadle|onnx)\b"
    return [name for name in MODELS if re.search(rf"(?<![\w/-]){re.escape(name)}{ends}", text)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory and a place for modules, with the data sets that pages open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(treadle.data.DATASETS)
    treadle.data.DATASETS |= DATASETS
    yield tmp_path
    treadle.data.DATASETS.clear()
    treadle.data.DATASETS.update(before)


@pytest.mark.parametrize("page", [p for p in PAGES if runnable(p)], ids=lambda page: page.stem)
def test_a_page_runs(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in models_of(page):
        place = folder / model
        place.parent.mkdir(parents=True, exist_ok=True)
        MODELS[model](place.parent, place.name)
        manifest = json.loads((folder / f"{model}.treadle/manifest.json").read_text("utf-8"))
        jsonschema.validate(manifest, schema())
    capsys.readouterr()
    names = dict(GIVEN.get(page.stem, {}))
    run_page(page, folder, INSTEAD.get(page.stem, {}), names)
    if page.stem in OUTCOMES:
        OUTCOMES[page.stem](names, capsys.readouterr().out)


@EVERY_PAGE
def test_blocks_are_of_known_languages_and_in_form(page: Path) -> None:
    blocks = blocks_of(page)
    assert {block.language for block in blocks} <= LANGUAGES
    fences = page.read_text(encoding="utf-8").count("```")
    assert fences == 2 * len(blocks), "a fence that is not a block"
    for block in blocks:
        if block.language == "json":
            json.loads(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)


def test_what_gives_way_is_on_the_pages() -> None:
    for stem, instead in INSTEAD.items():
        [page] = [page for page in PAGES if page.stem == stem]
        text = page.read_text(encoding="utf-8")
        assert [theirs for theirs in instead if theirs not in text] == []
    assert {*INSTEAD, *GIVEN, *OUTCOMES} <= {page.stem for page in PAGES}
    assert set(MODELS) == {model for page in PAGES for model in models_of(page)}


def examples_of_the_specification() -> dict[str, Any]:
    """The JSON of the bundle's specification by its format."""
    page = ROOT / "docs/bundle-format.md"
    documents = [json.loads(b.text) for b in blocks_of(page) if b.language == "json"]
    return {document["format"]: document for document in documents}


def test_the_manifest_of_the_specification_is_one() -> None:
    example = examples_of_the_specification()["treadle-bundle/1"]
    jsonschema.validate(example, schema())
    assert Manifest.from_json(example).sealed().to_json() == example


def test_the_vocabulary_of_the_specification_is_one(tmp_path: Path) -> None:
    example = examples_of_the_specification()["treadle-vocabulary/1"]
    (tmp_path / "output.json").write_text(json.dumps(example), encoding="utf-8")
    assert Vocabulary.read(tmp_path / "output.json").encode("AA B") == [3, 4]
