"""What `int8` and `int8-block` promise, on processors that this machine does not have.

Tiny models of every kind of recurrent layer, trained for a moment, exported on this machine and
verified under emulation: a row alone equals the row in a batch, and steps equal chunks, to the bit;
with 4 bits and in float32, where kernels differ, within the tolerances.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.repository import ROOT
from treadle.cli import run

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
EMULATORS = {"arm64": "qemu-aarch64-static", "haswell": "qemu-x86_64-static"}
SMALL = ["training.epochs=1", "training.threads=1", "network.embedding_size=12"]
WORDS = ["network.encoder_layers=1", "batching.batch_size=1024", "training.validation_limit=50"]
# Name -> recipe and changes. Sizes that are no multiple of 16 are the hard ones.
MODELS = {
    "lstm": ("characters", ["network.cell=lstm", "network.hidden_size=24"]),
    "gru": ("characters", ["network.cell=gru", "network.hidden_size=20"]),
    "gru-reset-before": ("characters", ["network.cell=gru-reset-before", "network.hidden_size=20"]),
    "elman": ("characters", ["network.cell=elman", "network.hidden_size=20"]),
    "elman-relu": ("characters", ["network.cell=elman-relu", "network.hidden_size=20"]),
    "attention": ("pronounce-en", ["network.hidden_size=24", *WORDS]),
}


# Kernels of MatMulNBits and of floats differ more between processors than those of integers.
OTHERS = [
    ("lstm", "float32"),
    ("lstm", "float16"),
    ("elman", "float32"),
    ("attention", "float32"),
    ("lstm", "int8-fast"),
    ("gru", "int8-block"),
    ("attention", "int8-block"),
    ("lstm", "int4-block"),
    ("attention", "int4-block"),
    ("elman", "int4-fast"),
]
# On 64-bit Arm the engine's own kernel is wrong on some processors: targets/arm64.py.
TENSORWISE = [("lstm", "int8-tensorwise"), ("attention", "int8-tensorwise")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulation")


def exported(directory: Path, name: str, precision: str) -> Path:
    """A bundle of a model, which is trained the first time that it is asked for."""
    recipe, changes = MODELS[name]
    trained, bundle = directory / name, directory / f"{name}-{precision}.treadle"
    settings = [part for change in [*SMALL, *changes] for part in ("--set", change)]
    if not trained.exists():
        assert run(["train", recipe, "--out", str(trained), *settings]) == 0
    options = ["--precision", precision, "--force"]
    if precision.startswith("int4"):  # so small a model loses more than 4 bits may cost
        options += ["--max-quality-drop", "50%"]
    assert run(["export", str(trained), "--out", str(bundle), *options]) == 0
    return bundle


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("processor", EMULATORS)
def test_a_row_is_exact_in_company_on(processor: str, precision: str, directory: Path) -> None:
    verify_on(processor, [exported(directory, name, precision) for name in MODELS])


@pytest.mark.parametrize("processor", EMULATORS)
def test_other_precisions_keep_their_promise_on(processor: str, directory: Path) -> None:
    chosen = OTHERS + (TENSORWISE if processor == "haswell" else [])
    verify_on(processor, [exported(directory, *which) for which in chosen])


def test_products_that_saturate_are_found_on_haswell() -> None:
    """Pairs of 255 by 64 fit in 16 bits, those by 65 do not; blocks are safe in full range."""
    made = on_haswell(
        "from treadle.integer_products import Product, is_exact\n"
        "whole = [Product('MatMulInteger', largest=n) for n in (63, 64, 65, 127)]\n"
        "sizes = ((4, 32), (8, 32), (4, 128), (8, 128))\n"
        "blocks = [Product('MatMulNBits', bits=n, block_size=size) for n, size in sizes]\n"
        "print(*map(is_exact, [*whole, *blocks]))"
    )
    assert made.split() == ["True", "True", "False", "False", *["True"] * 4]


def on_haswell(program: str) -> str:
    """What a program of Python prints there."""
    if shutil.which(EMULATORS["haswell"]) is None:
        pytest.skip(f"needs Debian's qemu-user-static ({EMULATORS['haswell']})")
    return subprocess.run(
        [HERE / "haswell.sh", "--python", "-c", program],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def verify_on(processor: str, bundles: list[Path]) -> None:
    if shutil.which(EMULATORS[processor]) is None:
        pytest.skip(f"needs Debian's qemu-user-static ({EMULATORS[processor]})")
    done = subprocess.run(
        [HERE / f"{processor}.sh", *bundles],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") >= len(bundles)
