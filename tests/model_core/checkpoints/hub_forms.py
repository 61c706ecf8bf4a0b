"""Hugging Face's tensors with weight norm in the forms that are read but not written."""

from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save_file

from model_core.checkpoints.hub import HUB_TENSORS, to_hub
from model_core.checkpoints.load import state_of
from model_core.checkpoints.save import save_hub
from model_core.engine import StateDict
from model_core.nn.network import EncodecNetwork

HubForm = Literal["weight_g", "original", "fused"]

GAIN = ".parametrizations.weight.original0"
DIRECTION = ".parametrizations.weight.original1"


def hub_tensors(state: StateDict, form: HubForm) -> StateDict:
    """`state`, under the reference's names, in the given form."""
    tensors = to_hub(state)
    if form == "original":
        return tensors
    renamed: StateDict = {}
    for name, tensor in tensors.items():
        if form == "weight_g":
            renamed[name.replace(GAIN, ".weight_g").replace(DIRECTION, ".weight_v")] = tensor
        elif name.endswith(GAIN):
            direction = tensors[name.replace(GAIN, DIRECTION)].astype(np.float64)
            length = np.sqrt(np.square(direction).sum(axis=(1, 2), keepdims=True))
            fused = tensor.astype(np.float64) * direction / length
            renamed[name.replace(GAIN, ".weight")] = fused.astype(tensor.dtype)
        elif not name.endswith(DIRECTION):
            renamed[name] = tensor
    return renamed


def save_hub_form(model: EncodecNetwork, folder: Path, form: HubForm) -> None:
    """A model folder whose tensors are in the given form."""
    save_hub(model, folder)
    save_file(hub_tensors(state_of(model), form), folder / HUB_TENSORS)
