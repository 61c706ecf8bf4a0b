"""Writing weights: this project's safetensors files and the index of a folder of them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..config import CONFIGS
from ..ecdc import ModelName
from ..errors import WeightsError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .convert import HubForm, to_hub
from .digest import is_statistic, weights_id
from .files import FORMAT, read_json
from .hub_config import config_to_hub
from .names import Kind, parse_known_name, stem
from .netconfig import LMConfig
from .partial import replace_with

INDEX = "index.json"


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
    expected = config.build()
    if (lm.n_q, lm.card, lm.transformer.past_context) != (
        expected.n_q,
        expected.card,
        expected.transformer.past_context,
    ):
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
    tensors = {name: _stored(t, torch.float32) for name, t in model.state_dict().items()}
    with replace_with(folder / "config.json") as file:
        file.write(json.dumps(config_to_hub(model.config), indent=2).encode())
    with replace_with(folder / "model.safetensors") as file:
        file.write(save(to_hub(tensors, form), {"format": "pt"}))


def write_index(folder: Path, chosen: dict[str, tuple[Path, Path | None]]) -> None:
    """Say which files in `folder` are the current ones: model name -> (model, LM or None).

    Other models' entries in an index that is there already are kept. Raises `WeightsError` for an
    index that cannot be read and for the name of no model.
    """
    path = folder / INDEX
    index = read_json(path.read_bytes(), str(path)) if path.exists() else {}
    for name, (model, lm) in chosen.items():
        if name not in CONFIGS:
            raise WeightsError(f"{path}: no model is called {name!r}")
        index[name] = {"model": model.name, "lm": None if lm is None else lm.name}
    with replace_with(path) as file:
        file.write((json.dumps(index, indent=2) + "\n").encode())


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
    path = folder / f"{stem(name, kind)}-{weights_id(tensors)}.safetensors"
    with replace_with(path) as file:
        file.write(save(tensors, {"format": FORMAT, **metadata}))
    return path


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().cpu().to(dtype).contiguous()
