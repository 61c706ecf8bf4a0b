"""Weights that stay 0: the structure that a network starts with."""

from functools import partial

import torch
from torch import nn


def keep_zeros(model: nn.Module) -> None:
    """From now on training leaves those parameters of `model` at 0 that are exactly 0."""
    for parameter in model.parameters():
        free = parameter.detach() != 0
        if not free.all():
            parameter.register_hook(partial(torch.mul, free))
