"""The runtime as one file: a fresh Python answers from it as from the package."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import treadle
from tests.runtime.fuzzing.sound import with_a_golden_trace
from treadle import cli
from treadle.errors import InputError
from treadle.selfcheck import verify
from treadle.slim import LEFT_OUT, without_docstrings, write_runtime

ANSWERS = """
import json, sys
import treadle
from treadle.selfcheck import verify
with treadle.load(sys.argv[1]) as model:
    found = model.stream(%r).step(%r)
    print(json.dumps([treadle.__file__, found.tolist(), verify(model).passed]))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runtime(tmp_path_factory.mktemp("slim") / "treadle.zip")


def test_a_fresh_python_answers_from_it(archive: Path, tmp_path: Path) -> None:
    bundle = with_a_golden_trace(tmp_path)
    source, token = [[1, 2, 3]], [1]
    with treadle.load(bundle) as model:
        expected = model.stream(np.array(source)).step(np.array(token))
        assert verify(model).passed
    program = ANSWERS % (source, token)
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    command = [sys.executable, "-c", program, str(bundle)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, found, passed = json.loads(done.stdout)
    assert str(archive) in where
    assert found == expected.tolist()
    assert passed


def test_it_is_small_and_whole(archive: Path) -> None:
    assert archive.stat().st_size <= 300_000
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        package = Path(treadle.__file__).parent
        kept = {
            path.relative_to(package.parent).as_posix()
            for path in package.rglob("*")
            if path.is_file() and not LEFT_OUT & set(path.relative_to(package).parts)
        }
        assert set(names) == kept
        for name in names:
            if name.endswith(".py"):
                assert ast.get_docstring(ast.parse(opened.read(name))) is None


def test_the_same_package_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert write_runtime(tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_a_function_of_a_docstring_alone_stays_one() -> None:
    source = 'def f():\n    """Says nothing."""\n\nclass A:\n    """Is nothing."""\n    x = 1\n'
    made: dict[str, object] = {}
    exec(without_docstrings(source), made)
    assert made["A"].x == 1  # type: ignore[attr-defined]
    assert made["f"]() is None  # type: ignore[operator]


def test_what_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken.zip"
    taken.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_runtime(taken)
    assert taken.read_text() == "mine"
    with pytest.raises(InputError, match="cannot write"):
        write_runtime(tmp_path / "taken.zip" / "below.zip")
    assert cli.run(["runtime", "--out", str(taken), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == taken.stat().st_size
