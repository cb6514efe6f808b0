"""Weights that a file keeps beside itself: whether they are there, inside and long enough."""

import os
from pathlib import Path

import onnx_ir as ir


def fault(tensor: ir.ExternalTensor) -> str | None:
    """What is wrong with the file that a tensor's data should come from; None when nothing is."""
    directory = os.path.realpath(tensor.base_dir)
    # A link may lead anywhere. (Path.resolve raises for one that leads to itself.)
    try:
        real = Path(os.path.realpath(Path(directory) / tensor.location))
    except ValueError:
        return "cannot be the name of a file"
    if not real.is_relative_to(directory):
        return "lies outside the model's directory"
    if not real.is_file():
        return "is missing"
    needed = (tensor.offset or 0) + max(tensor.length or 0, tensor.nbytes)
    there = real.stat().st_size
    return None if there >= needed else f"has {there} bytes where {needed} are needed"
