"""A program of Node decodes with the one file alone: text in, text out, nothing of Treadle."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import treadle
from tests.project.repository import ROOT
from treadle_export.one_call.beam_search import BeamSearch
from treadle_export.one_call.row_search import RowSearch
from treadle_export.one_call.writing import write_one_call

if TYPE_CHECKING:
    from treadle_export.one_call.assembling import Searching

PROGRAM = ROOT / "examples/one_call.mjs"
TEXTS = ("あいう", "え", "かきくけこ", "さ", "いいいい")


def told(node: str, assets: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    engine = (assets / "ort.node.min.mjs").as_uri()
    return subprocess.run(
        [node, str(PROGRAM), *arguments],
        env={**os.environ, "TREADLE_ENGINE": engine},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.mark.parametrize("searching", [RowSearch(), BeamSearch(4)])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_node_writes_what_python_writes(
    node: str,
    assets: Path,
    lowered_bundles: dict[tuple[str, str], str],
    tmp_path: Path,
    precision: str,
    searching: Searching,
) -> None:
    bundle = Path(lowered_bundles["lstm-general", precision])
    one = write_one_call(bundle, tmp_path / "one.onnx", searching, text=True)
    done = told(node, assets, str(one.path), *TEXTS)
    assert done.returncode == 0, done.stderr[-2000:]
    beam = searching.beam if isinstance(searching, BeamSearch) else 1
    with treadle.load(bundle) as model:
        expected = [found[0].text for found in model.transduce(TEXTS, beam=beam, max_length=40)]
    assert done.stdout.splitlines() == expected


def test_without_a_text_it_says_how_it_is_used(node: str, assets: Path) -> None:
    done = told(node, assets, "one.onnx")
    assert done.returncode == 2
    assert "usage: node one_call.mjs" in done.stderr
