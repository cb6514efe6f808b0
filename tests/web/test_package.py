"""What npm packs, and that it works from where npm puts it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import treadle
from tests.project.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WEB = ROOT / "runtime/web"


def test_the_package_has_the_version_of_treadle() -> None:
    package = json.loads((WEB / "package.json").read_text("utf-8"))
    assert package["version"] == treadle.__version__
    assert set(package["peerDependencies"]) == {"onnxruntime-web"}
    assert "dependencies" not in package


def test_modules_import_each_other_and_the_engine_alone() -> None:
    found = set()
    for path in [WEB / "treadle.js", *(WEB / "src").glob("*.js"), *(WEB / "page").glob("*.js")]:
        text = path.read_text("utf-8")
        names = re.findall(r'^(?:import|export|}) .*from "([^"]+)";$', text, flags=re.MULTILINE)
        for name in [*names, *re.findall(r'import\("([^"]+)"\)', text)]:
            if name.startswith("."):
                assert (path.parent / name).is_file(), (path.name, name)
            else:
                found.add(name)
    assert found == {"onnxruntime-web/wasm"}


def test_types_name_what_the_module_exports() -> None:
    module = (WEB / "treadle.js").read_text("utf-8")
    lists = re.findall(r"^export \{([^}]*)\}", module, flags=re.MULTILINE)
    exported = {name.strip() for names in lists for name in names.split(",")} - {""}
    exported |= set(re.findall(r"^export (?:async )?function (\w+)", module, flags=re.MULTILINE))
    types = (WEB / "treadle.d.ts").read_text("utf-8")
    typed = set(re.findall(r"^export (?:class|function) (\w+)", types, flags=re.MULTILINE))
    assert typed == exported


def test_npm_packs_the_module_and_nothing_else(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    done = subprocess.run(
        [npm, "pack", "--json", "--pack-destination", str(tmp_path)],
        cwd=WEB,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    # npm 12 gives an object by name, older ones a list.
    [packed] = document.values() if isinstance(document, dict) else document
    names = {file["path"] for file in packed["files"]}
    modules = {f"src/{path.name}" for path in (WEB / "src").iterdir()}
    assert names == {"package.json", "README.md", "treadle.js", "treadle.d.ts"} | modules
    assert packed["unpackedSize"] < 200_000


def test_an_installed_package_finds_its_engine_by_name(
    node: str, assets: Path, bundles: dict[str, str], tmp_path: Path
) -> None:
    """As in an application's node_modules, with the engine beside it."""
    modules = tmp_path / "node_modules"
    shutil.copytree(WEB, modules / "treadle", ignore=shutil.ignore_patterns("node_modules"))
    for beside in assets.parents[1].iterdir():
        (modules / beside.name).symlink_to(beside)
    script = tmp_path / "main.mjs"
    script.write_text(
        """
        import { readdirSync, readFileSync } from "node:fs";
        import { load } from "treadle";
        const path = process.argv[2];
        const files = readdirSync(path).map((name) => [name, readFileSync(`${path}/${name}`)]);
        const model = await load(new Map(files));
        const [[best]] = await model.transduce("abc");
        console.log(best.text);
        """
    )
    done = subprocess.run(
        [node, str(script), bundles["pronounce"]], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with treadle.load(bundles["pronounce"]) as model:
        assert done.stdout.strip() == model.transduce("abc")[0][0].text
