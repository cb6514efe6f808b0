"""The command line as a whole: every command helps, and none loads a framework to do it."""

import json
import subprocess
import sys
from importlib import metadata

import pytest

from treadle.cli import main

COMMANDS = (
    *("recipes", "train", "gradients", "export", "adopt", "requantize", "sensitivity", "lint"),
    *("inspect", "pack", "verify", "sign", "evaluate", "run", "web", "data", "demo"),
)
HEAVY = {"torch", "lightning", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "matplotlib"}

HELP = """
import json, sys
from treadle.cli import run
code = run(json.loads(sys.argv[1]))
heavy = sorted({name.partition(".")[0] for name in sys.modules} & set(json.loads(sys.argv[2])))
sys.exit(code if not heavy else f"loaded {heavy}")
"""


def help_of(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new interpreter; exit status 1 when it loads a framework."""
    passed = [json.dumps([*arguments, "--help"]), json.dumps(sorted(HEAVY))]
    return subprocess.run([sys.executable, "-c", HELP, *passed], capture_output=True, text=True)


def test_help_lists_every_command_and_loads_no_framework() -> None:
    done = help_of()
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_and_loads_no_framework(command: str) -> None:
    done = help_of(command)
    assert done.returncode == 0, done.stderr
    assert f"Usage: treadle {command}" in done.stdout
    assert "--json" in done.stdout


def test_the_installed_program_is_this_command_line() -> None:
    (program,) = metadata.entry_points(group="console_scripts", name="treadle")
    assert program.load() is main
    done = subprocess.run(
        [sys.executable, "-c", "from treadle.cli import main; main()", "--version"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"treadle, version {metadata.version('treadle')}\n"
