"""Weights as the reference's files have them: a pickled state dict named after its checksum.

`torch.hub.load_state_dict_from_url(check_hash=True)` reads the beginning of the sha256 from the
name, as the reference package does for its own files.
"""

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from ..config import CONFIGS, ModelConfig
from .digest import ID_LENGTH, is_statistic
from .files import read_reference
from .names import Kind, stem
from .netconfig import check_config
from .partial import replace_with

_FIRST = "encoder.model.0.conv.conv.weight"


def save_reference(
    module: nn.Module, name: str, kind: Kind, folder: Path, dtype: torch.dtype = torch.float32
) -> Path:
    """Write a state dict to `folder/NAME-<8 hex of the sha256>.th`; returns that path.

    `module` is the model `name` or its language model. Training statistics of codebooks, which
    the reference requires, stay as precise as they are.
    """
    state = {
        key: tensor.detach().cpu().to(tensor.dtype if is_statistic(key) else dtype).clone()
        for key, tensor in module.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()[:ID_LENGTH]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem(name, kind)}-{digest}.th"
    with replace_with(path) as file:
        file.write(buffer.getbuffer())
    return path


def read_reference_config(path: Path, name: str) -> ModelConfig:
    """The network in a `.th` for `name`: the standard one, as wide as its first convolution.

    Raises `WeightsError` naming the file.
    """
    state = read_reference(path)
    first = state.get(f"{_FIRST}_v", state.get(_FIRST))
    standard = CONFIGS[name]
    if first is None or first.dim() != 3:
        return standard  # what is wrong with it is said when it is loaded
    return check_config({**standard.to_dict(), "n_filters": len(first)}, str(path))
