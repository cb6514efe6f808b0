"""mobile: engines built for one application, which read ORT format and hold few operators.

A full onnxruntime of a phone reads both formats. A reduced build has the operators of a
configuration file alone, and a minimal one reads ORT format alone, cannot optimize, and so needs
the operators of the *optimized* graph, where `Transpose` and `MatMul` may be one `FusedMatMul`.
Lists made from ONNX files miss those (microsoft/onnxruntime#23018), so this one is read from the
graphs that the device opens.
https://onnxruntime.ai/docs/build/custom.html
https://onnxruntime.ai/docs/reference/operators/reduced-operator-config-file.html

Each graph in ORT format holds its weights, so what graphs share in `weights.bin` is there once a
graph; `evidence.size` says how much that is. It holds what is computed from constants, too: the
weights of `int4` unpacked.
"""

from collections.abc import Collection
from dataclasses import replace

import onnxruntime

from treadle.manifest import File, sha256
from treadle_export.bundle import Parts
from treadle_export.quantization.precision import PRECISIONS
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.ort_format import Operator, contents, converted
from treadle_export.targets.size_report import size_of
from treadle_export.targets.target import Target
from treadle_export.weights import WEIGHTS_FILE

CONFIG_FILE = "required_operators.config"


def packaged(parts: Parts) -> Parts:
    """The files with every graph in ORT format, and the operators that an engine needs for them."""
    manifest = parts.manifest
    names = {graph.file: f"{name}.ort" for name, graph in manifest.graphs.items()}
    sources = {n: content for n, content in parts.files.items() if n in (*names, WEIGHTS_FILE)}
    files = {n: content for n, content in parts.files.items() if n not in sources}
    graph_files = {ort: converted(sources, onnx) for onnx, ort in names.items()}
    operators = {op for content in graph_files.values() for op in contents(content).operators}
    files |= {**graph_files, CONFIG_FILE: config(operators).encode()}
    changed = manifest._replace(
        files={name: File(sha256(content), len(content)) for name, content in files.items()},
        graphs={n: graph._replace(file=names[graph.file]) for n, graph in manifest.graphs.items()},
        requires={
            # An optimized graph may use what engines before the one that optimized it lack.
            "onnxruntime": ".".join(onnxruntime.__version__.split(".")[:2]),
            "operators": sorted(f"{domain}:{name}:{since}" for domain, since, name in operators),
        },
    )
    return replace(parts, files=files, manifest=changed)


def config(operators: Collection[Operator]) -> str:
    """The operators as `--include_ops_by_config` of onnxruntime's build takes them."""
    lines = ["# Of the optimized graphs of this bundle: domain;version of the operators;operators"]
    for domain, since in sorted({(domain, since) for domain, since, _ in operators}):
        names = sorted(name for d, s, name in operators if (d, s) == (domain, since))
        lines.append(f"{domain};{since};{','.join(names)}")
    return "\n".join(lines) + "\n"


MOBILE = Target(
    name="mobile",
    summary="onnxruntime in an application, also a reduced build",
    kernels=cpu_kernels,
    precisions=("int8", *(name for name in PRECISIONS if name != "int8")),
    notes={
        "int4": "ORT format holds the weights of int4 unpacked, as large as those of int8: for "
        "fewer bytes take int4-block"
    },
    package=packaged,
    evidence=lambda parts: {"size": size_of(parts, CONFIG_FILE)},
)
