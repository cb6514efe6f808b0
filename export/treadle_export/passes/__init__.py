"""Passes over the canonical graph: one transformation a file."""

import onnx_ir.passes.common  # noqa: F401 - is no attribute of its package before it is imported
