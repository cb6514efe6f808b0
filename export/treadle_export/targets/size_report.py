"""How large the graphs of a bundle in ORT format are, and what an engine for them alone needs."""

from typing import Any

from treadle.commands.options import table
from treadle_export.bundle import Parts
from treadle_export.canonical import OPSET
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.ort_format import Operator, contents

_MICROSOFT = "com.microsoft"


def size_of(parts: Parts, config_file: str) -> dict[str, Any]:
    """Bytes, nodes and operators of every graph, and the flags of onnxruntime's build script.

    Requires: the graphs are in ORT format.
    """
    graphs: dict[str, Any] = {}
    operators: set[Operator] = set()
    for name, graph in parts.manifest.graphs.items():
        held = contents(parts.files[graph.file])
        operators |= held.operators.keys()
        graphs[name] = {
            "file": graph.file,
            "bytes": len(parts.files[graph.file]),
            "weights": held.weights,
            "nodes": sum(held.operators.values()),
            "operators": len(held.operators),
        }
    flags = ["--minimal_build", "--include_ops_by_config", config_file, "--disable_ml_ops"]
    if not any(domain == _MICROSOFT for domain, _, _ in operators):
        flags.append("--disable_contrib_ops")
    return {
        "graphs": graphs,
        "bytes": sum(map(len, (*parts.files.values(), *parts.evidence_files.values()))),
        "reduced_build": {
            "operators": len(operators),
            "of": len(cpu_kernels(OPSET)),
            "flags": flags,
        },
    }


def as_table(size: dict[str, Any]) -> str:
    """The report as a person reads it."""
    columns = ("bytes", "weights", "nodes", "operators")
    rows = [
        [graph["file"], *(f"{graph[column]:,}" for column in columns)]
        for graph in size["graphs"].values()
    ]
    build = size["reduced_build"]
    return (
        f"{table(('graph', *columns), rows)}\n"
        f"all files but the manifest: {size['bytes']:,} bytes\n"
        f"a reduced build needs {build['operators']} of {build['of']} operators: "
        f"{' '.join(build['flags'])}"
    )
