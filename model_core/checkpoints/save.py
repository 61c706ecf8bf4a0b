"""Writing weights: this project's files, the reference's, and Hugging Face folders."""

import hashlib
import io
import json
from pathlib import Path

import torch
from safetensors.numpy import save as save_arrays
from safetensors.torch import save
from torch import nn

from ..config import LMConfig, ModelConfig
from ..ecdc import ModelName
from ..errors import WeightsError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .files import FORMAT, is_statistic, replace_with, weights_id
from .hub import HUB_CONFIG, HUB_TENSORS, config_to_hub, to_hub
from .load import state_of
from .weight_set import ID_LENGTH, Kind, file_stem, parse_known_name


def save_weights(model: EncodecNetwork, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write a model's weights to `folder/NAME-<id>.safetensors`; returns that path.

    The file carries the network's configuration. The id is that of the tensors as `dtype` stores
    them. Raises `WeightsError` for values that are not finite in `dtype`.
    """
    return _save(model, "model", model.config, {}, folder, dtype)


def save_lm(lm: LMModel, made_for: str, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write a language model to `folder/encodec_lm_…-<id>.safetensors`; returns that path.

    `made_for` is the header name of the weights whose codes it predicts. Raises `WeightsError`
    for values that are not finite in `dtype` and `UnknownModelError` for a wrong name.
    """
    owner = parse_known_name(made_for)
    config = LMConfig(owner.name, lm.dim, len(lm.transformer.layers), lm.depth)
    codebooks = (lm.n_q, lm.card, lm.transformer.past_context)
    if codebooks != (config.num_codebooks, config.bins, config.past_context):
        raise WeightsError(f"this language model does not have the codebooks of {owner.name}")
    made_for = str(ModelName(owner.name, owner.weights))
    return _save(lm, "lm", config, {"for": made_for}, folder, dtype)


def _save(
    module: nn.Module,
    kind: Kind,
    config: ModelConfig | LMConfig,
    more_metadata: dict[str, str],
    folder: Path,
    dtype: torch.dtype,
) -> Path:
    tensors = {
        key: tensor.detach().cpu().to(dtype).contiguous()
        for key, tensor in module.state_dict().items()
        if not is_statistic(key)
    }
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{key} cannot be stored as {dtype}: it has values out of range")
    id_ = weights_id({key: tensor.float().numpy() for key, tensor in tensors.items()})
    metadata = {"format": FORMAT, "kind": kind, "config": json.dumps(config.to_dict())}
    path = folder / f"{file_stem(config.name, kind)}-{id_}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    with replace_with(path) as file:
        file.write(save(tensors, metadata | more_metadata))
    return path


def save_hub(model: EncodecNetwork, folder: Path) -> None:
    """Write a Hugging Face model folder: `config.json` and `model.safetensors`, float32."""
    folder.mkdir(parents=True, exist_ok=True)
    with replace_with(folder / HUB_CONFIG) as file:
        file.write(json.dumps(config_to_hub(model.config), indent=2).encode())
    with replace_with(folder / HUB_TENSORS) as file:
        file.write(save_arrays(to_hub(state_of(model)), {"format": "pt"}))


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
    path = folder / f"{file_stem(name, kind)}-{digest}.th"
    with replace_with(path) as file:
        file.write(buffer.getbuffer())
    return path
