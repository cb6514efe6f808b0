"""The README's shell lines run as they stand, on bundles with the names that `make demo` gives."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.repository import ROOT
from tests.project.test_documents import blocks

pytestmark = pytest.mark.slow

README = ROOT / "README.md"
TREADLE = shlex.join([sys.executable, "-c", "from treadle.cli import main; main()"])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which build/demo holds barely trained bundles."""
    folder = tmp_path_factory.mktemp("readme")
    maker = ROOT / "tests/device/make_bundles.py"
    subprocess.run([sys.executable, maker, folder / "build/demo"], check=True)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="the README's shell is a POSIX one")
def test_the_shell_lines_about_bundles_run(demo: Path) -> None:
    lines = [line for text in blocks(README, "bash") for line in text.splitlines()]
    shown = [line for line in lines if "build/demo" in line and "treadle " in line]
    assert len(shown) == 5
    script = f'set -e\ntreadle() {{ {TREADLE} "$@"; }}\n' + "\n".join(shown)
    done = subprocess.run(["bash", "-c", script], cwd=demo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
