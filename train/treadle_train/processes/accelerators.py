"""Whether a training can run where its recipe says, before anything is read or written."""

import torch

from treadle.errors import DeviceError, RecipeError
from treadle_train.processes.group import process_count
from treadle_train.recipe import Recipe


def check_accelerator(recipe: Recipe, *, quantized: bool) -> None:
    """Raise DeviceError for devices that are not there, RecipeError for what they cannot do.

    quantized: whether training rounds weights.
    """
    section = recipe.training
    processes, rows = process_count(section), recipe.batching.batch_size
    if processes > rows:
        raise RecipeError(
            f"training.devices × training.num_nodes are {processes} processes, which share batches "
            f"of {rows}: some would have nothing to do; raise batching.batch_size, or take fewer."
        )
    if section.accelerator == "cpu":
        return
    if quantized:
        raise RecipeError(
            "Training with --quantize searches scales on the CPU; set training.accelerator=cpu."
        )
    if torch.version.cuda is None:
        raise DeviceError(
            f'training.accelerator = "cuda" needs a PyTorch with CUDA, and {torch.__version__} is '
            "built without; install one that has it, or set training.accelerator=cpu."
        )
    found = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if len(found) < section.devices:
        raise DeviceError(
            f"training.devices asks for {section.devices} CUDA devices, and this machine has "
            f"{len(found)} ({', '.join(found) or 'none that PyTorch sees'}); take fewer, or set "
            "training.accelerator=cpu."
        )
