"""Writing weights: this project's files, the reference's, and Hugging Face folders."""

import hashlib
import io
import json
from pathlib import Path

import torch
from safetensors.numpy import save as save_arrays
from safetensors.torch import save
from torch import Tensor, nn

from ..config import LMConfig
from ..ecdc import ModelName
from ..errors import WeightsError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .config import HUB_CONFIG, config_to_hub
from .convert import HUB_TENSORS, HubForm, to_hub
from .files import FORMAT, replace_with
from .load import state_of
from .names import ID_LENGTH, Kind, is_statistic, parse_known_name, stem, weights_id


def save_weights(model: EncodecNetwork, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write a model's weights to `folder/NAME-<id>.safetensors`; returns that path.

    The file carries the network's configuration. The id is that of the tensors as `dtype` stores
    them. Raises `WeightsError` for values that are not finite in `dtype`.
    """
    config = model.config
    metadata = {"kind": "model", "config": json.dumps(config.to_dict())}
    return _save(model, folder, config.name, "model", metadata, dtype)


def save_lm(lm: LMModel, made_for: str, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write a language model to `folder/encodec_lm_…-<id>.safetensors`; returns that path.

    `made_for` is the header name of the weights whose codes it predicts. Raises `WeightsError`
    for values that are not finite in `dtype` and `UnknownModelError` for a wrong name.
    """
    owner = parse_known_name(made_for)
    config = LMConfig(owner.name, lm.dim, len(lm.transformer.layers))
    codebooks = (lm.n_q, lm.card, lm.transformer.past_context)
    if codebooks != (config.num_codebooks, config.bins, config.past_context):
        raise WeightsError(f"this language model does not have the codebooks of {owner.name}")
    metadata = {
        "kind": "lm",
        "config": json.dumps(config.to_dict()),
        "for": str(ModelName(owner.name, owner.weights)),
    }
    return _save(lm, folder, owner.name, "lm", metadata, dtype)


def save_hub(model: EncodecNetwork, folder: Path, form: HubForm = "original") -> None:
    """Write a Hugging Face model folder: `config.json` and `model.safetensors`, float32."""
    folder.mkdir(parents=True, exist_ok=True)
    with replace_with(folder / HUB_CONFIG) as file:
        file.write(json.dumps(config_to_hub(model.config), indent=2).encode())
    with replace_with(folder / HUB_TENSORS) as file:
        file.write(save_arrays(to_hub(state_of(model), form), {"format": "pt"}))


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


def _save(
    module: nn.Module,
    folder: Path,
    name: str,
    kind: Kind,
    metadata: dict[str, str],
    dtype: torch.dtype,
) -> Path:
    tensors = {
        key: _stored(tensor, dtype)
        for key, tensor in module.state_dict().items()
        if not is_statistic(key)
    }
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{key} cannot be stored as {dtype}: it has values out of range")
    folder.mkdir(parents=True, exist_ok=True)
    id_ = weights_id({key: tensor.float().numpy() for key, tensor in tensors.items()})
    path = folder / f"{stem(name, kind)}-{id_}.safetensors"
    with replace_with(path) as file:
        file.write(save(tensors, {"format": FORMAT, **metadata}))
    return path


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().cpu().to(dtype).contiguous()
