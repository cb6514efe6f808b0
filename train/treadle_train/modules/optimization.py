"""The optimizer and the learning rates that a recipe asks for, in torch's own classes."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from treadle_train.sections.training import TrainingSection


def make_optimizer(network: nn.Module, section: TrainingSection) -> torch.optim.Optimizer:
    """Adam, or with `weight_decay` AdamW, which decays matrices and neither biases nor gains.

    Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    """
    parameters = list(network.parameters())
    if not section.weight_decay:
        return torch.optim.Adam(parameters, section.learning_rate, fused=True)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, section.learning_rate, fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, section: TrainingSection, steps: int
) -> LRScheduler:
    """The learning rate over `steps` steps of the optimizer.

    "one-cycle" (Smith & Topin 2018) rises and falls along a cosine; "constant" and "cosine"
    (Loshchilov & Hutter 2017) rise along a line while it warms up; "plateau" falls to
    plateau_factor of itself when more than plateau_patience epochs brought nothing better. All but
    "plateau" are moved on after every step, and it after every validation.
    """
    if section.schedule == "plateau":
        return ReduceLROnPlateau(
            optimizer, factor=section.plateau_factor, patience=section.plateau_patience
        )
    if section.schedule == "one-cycle":
        total = steps + 1  # the schedule counts the state before step one
        return OneCycleLR(
            optimizer,
            section.learning_rate,
            total_steps=total,
            pct_start=max(section.warmup, 2 / total),  # a shorter rise divides by zero
        )
    rise = round(section.warmup * steps)

    def share(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        if section.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2

    return LambdaLR(optimizer, share)


def schedule_state(schedule: LRScheduler) -> dict[str, Any]:
    """What JSON can keep of a schedule; what is infinite is so in a new one, too."""
    return {
        name: value
        for name, value in schedule.state_dict().items()
        if not (isinstance(value, float) and math.isinf(value))
    }
