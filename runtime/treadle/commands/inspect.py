"""`treadle inspect`: what a bundle says of itself. Needs no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.commands.options import bundle_argument, json_option, print_json, write

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.manifest import Graph, Manifest


@click.command()
@bundle_argument
@json_option
def inspect(bundle: Path, as_json: bool) -> None:
    """Say what BUNDLE is; with --json, its manifest.

    Every file is checked against its digest on the way.
    """
    from treadle.bundle import open_bundle

    with open_bundle(bundle) as opened:
        manifest = opened.manifest
    if as_json:
        print_json(manifest.to_json())
    else:
        write(summary(manifest) + "\n")


def summary(manifest: Manifest) -> str:
    """The manifest in a screenful."""
    total = sum(file.bytes for file in manifest.files.values())
    lines = [
        f"{manifest.name}: {manifest.task}, {manifest.precision}, for {manifest.target}",
        f"  format      {manifest.format}",
        f"  digest      {manifest.digest}",
        f"  engine      onnxruntime >= {manifest.requires.get('onnxruntime', '?')}",
        f"  files       {len(manifest.files)}, {total:,} bytes",
    ]
    lines += [f"    {file.bytes:>12,}  {name}" for name, file in sorted(manifest.files.items())]
    for name, graph in manifest.graphs.items():
        lines += _graph(name, graph)
    lines += _pairs("evaluated", manifest.evaluation)
    for name, evidence in manifest.evidence.items():
        if isinstance(evidence, dict):
            figures = {k: v for k, v in evidence.items() if not isinstance(v, dict | list)}
            lines += _pairs(name, figures)
    lines += _pairs("licence", manifest.licence)
    lines += _pairs("provenance", manifest.provenance)
    return "\n".join(lines)


def _graph(name: str, graph: Graph) -> list[str]:
    def ports(tensors: list[tuple[str, tuple[int | str, ...]]]) -> str:
        return ", ".join(f"{port} [{', '.join(map(str, shape))}]" for port, shape in tensors)

    shown = {
        "reads": [(t.name, t.shape) for t in graph.inputs],
        "context": [(t.name, t.shape) for t in graph.context],
        "carries": [(t.name, t.shape) for t in graph.state],
        "gives": [(t.name, t.shape) for t in graph.outputs],
    }
    parts = [f"    {what:<10}{ports(tensors)}" for what, tensors in shown.items() if tensors]
    return [f"  {name:<11} {graph.file}", *parts]


def _pairs(title: str, values: dict[str, object]) -> list[str]:
    if not values:
        return []
    return [f"  {title:<11} " + ", ".join(f"{key} {value}" for key, value in values.items())]
