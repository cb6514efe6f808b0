"""What the tests of treadle.js need: Node, the engine's files, and small bundles of every kind.

Without Node or without onnxruntime-web they skip and say how to get it. `make web` installs the
engine where they look; TREADLE_WEB_ASSETS names another folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle.data
from tests.export.exporting import test_prompt_graph
from tests.export.small_models import (
    SOURCES,
    TARGETS,
    canonical,
    lowered,
    made_up_words,
    untrained_run,
)
from tests.project.repository import ROOT
from tests.runtime.tiny_bundles import (
    FEATURES,
    HIDDEN,
    start_from_file,
    write_generator,
    write_language_model,
    write_transducer,
)
from treadle.commands.serving import assets_folder
from treadle.errors import DeviceError
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.exporting.exporter import export_run
from treadle_export.quantization.precision import plan_of, precision_named

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[list[dict[str, Any]]], list[Any]]

PRECISIONS = ("float32", "int8", "int8-block", "int4", "int4-block")
SYMBOLS = Vocabulary(tuple(map(chr, range(0x4E00, 0x4E00 + TARGETS))), "characters")
LETTERS = Vocabulary(tuple(map(chr, range(0x3041, 0x3041 + SOURCES))), "characters", padding=0)
SOUNDS = Vocabulary(
    ("<pad>", "<s>", "</s>", *(f"S{index}" for index in range(TARGETS - 3))),
    "symbols",
    padding=0,
    start=1,
    end=2,
)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of onnxruntime-web's files."""
    given = os.environ.get("TREADLE_WEB_ASSETS")
    for place in [Path(given)] if given else [ROOT / "build/web", ROOT / "runtime/web"]:
        try:
            return assets_folder(place).resolve()
        except DeviceError:
            continue
    pytest.skip("onnxruntime-web is not installed: make web")


@pytest.fixture(scope="session")
def node() -> str:
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not installed")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    if int(version.strip("v\n").partition(".")[0]) < 20:
        pytest.skip(f"treadle.js needs Node 20 or later, got {version.strip()}")
    return program


@pytest.fixture(scope="session")
def ask(node: str, assets: Path) -> Ask:
    """Let treadle.js do jobs in one Node; what each gave (see jobs.mjs)."""

    def asked(jobs: list[dict[str, Any]]) -> list[Any]:
        request = {
            "module": (ROOT / "runtime/web/treadle.js").as_uri(),
            "engine": (assets / "ort.node.min.mjs").as_uri(),
            "jobs": jobs,
        }
        done = subprocess.run(
            [node, str(Path(__file__).parent / "jobs.mjs")],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    return asked


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Kind -> path: float32 bundles with random weights, made node by node."""
    folder = tmp_path_factory.mktemp("web")
    rows = {"recurrent.0.hidden": np.linspace(-0.9, 0.9, HIDDEN, dtype=np.float32)}
    made = {
        "characters": write_language_model(folder),
        "other": write_language_model(folder, seed=5, name="other"),
        "features": write_language_model(folder, name="features", features=FEATURES),
        "own-start": start_from_file(write_language_model(folder, name="own-start"), rows),
        "pronounce": write_transducer(folder),
        "generator": write_generator(folder),
    }
    return {kind: str(path) for kind, path in made.items()}


@pytest.fixture(scope="session")
def lowered_bundles(
    ask: Ask, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], str]:
    """(kind, precision) -> path: networks as the exporter writes them, without evidence."""
    folder = tmp_path_factory.mktemp("lowered")
    pair = {"input": LETTERS, "output": SOUNDS}
    kinds: dict[str, tuple[dict[str, Vocabulary], dict[str, Any]]] = {
        "lstm-model": ({"symbols": SYMBOLS}, {"start": 0}),
        "gru-model": ({"symbols": SYMBOLS}, {"start": 0}),
        "elman-model": ({"symbols": SYMBOLS}, {"start": 0}),
        "lstm-general": (pair, {"start": 1, "end": 2, "max_length": 20}),
    }
    made = {}
    for kind, (vocabularies, decoding) in kinds.items():
        for precision in PRECISIONS:
            path = folder / f"{kind}-{precision}.treadle"
            description = Description(path.stem, vocabularies, decoding, {}, {}, {})
            plan = plan_of(canonical(kind), precision_named(precision))
            parts = assemble(lowered(kind, precision), description, precision, plan)
            write_bundle(path, finished(parts, {}))
            made[kind, precision] = str(path)
    return made


@pytest.fixture(scope="session")
def prompted(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a bundle with a graph `prompt`."""
    path = tmp_path_factory.mktemp("prompted") / "prompted.treadle"
    symbols = Vocabulary(
        tuple(map(chr, range(0x3400, 0x3400 + test_prompt_graph.SYMBOLS))), "characters"
    )
    description = Description(path.stem, {"symbols": symbols}, {"start": 0}, {}, {}, {})
    plan = plan_of(test_prompt_graph.with_large_head(), precision_named("int8"))
    parts = assemble(test_prompt_graph.in_precision("int8"), description, "int8", plan)
    write_bundle(path, finished(parts, {}))
    return str(path)


@pytest.fixture(scope="session")
def exported(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Precision -> path: one run exported with all its evidence, the golden trace too."""
    known = "made-up" in treadle.data.DATASETS  # other tests of this process may want it, too
    treadle.data.DATASETS["made-up"] = made_up_words
    folder = tmp_path_factory.mktemp("exported")
    outs = {name: folder / f"made-up-{name}.treadle" for name in ("float32", "int8", "int4")}
    # The weights are random: whether it loses quality means nothing here.
    export_run(untrained_run(folder / "run"), outs, quality_limit=5)
    if not known:
        del treadle.data.DATASETS["made-up"]
    return {name: str(path) for name, path in outs.items()}


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The bundles are made by one worker: once, not once in each."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("web"))
