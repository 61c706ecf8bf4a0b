"""Weights of any layout, read into the model they are for."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..config import CONFIGS, ModelConfig
from ..errors import WeightsError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .convert import from_hub
from .digest import weights_id
from .files import (
    FORMAT,
    load_state,
    read_bytes,
    read_json,
    read_metadata,
    read_reference,
    read_safetensors,
)
from .hub_config import config_from_hub
from .names import FileName, Kind
from .netconfig import LMConfig, check_config, check_lm_config
from .sets import Layout, LMSet, WeightSet

HUB_CONFIG = "config.json"
HUB_TENSORS = "model.safetensors"

Network = TypeVar("Network", bound=EncodecNetwork)


def read_state(path: Path, layout: Layout) -> dict[str, Tensor]:
    """The tensors under reference names. Raises `WeightsError` naming the file."""
    if layout == "reference":
        return read_reference(path)
    if layout == "hub":
        return from_hub(read_safetensors(path / HUB_TENSORS), read_hub_config(path))
    state = read_safetensors(path)
    named = FileName.parse(path.name)
    if named is not None and weights_id(state) != named.hex:
        raise WeightsError(
            f"{path}: wrong checksum: the id of its tensors is {weights_id(state)}, not {named.hex}"
        )
    return state


def read_hub_config(folder: Path) -> ModelConfig:
    """The configuration of a Hugging Face model folder."""
    path = folder / HUB_CONFIG
    return config_from_hub(read_json(read_bytes(path), str(path)), str(path))


def read_own_config(path: Path) -> ModelConfig:
    """The model configuration that a `.safetensors` file of ours carries."""
    metadata = _own_metadata(path, "model")
    return check_config(read_json(metadata.get("config", ""), str(path)), str(path))


def read_own_lm(path: Path) -> tuple[LMConfig, str | None]:
    """The language model configuration in a file of ours, and which weights it is made for."""
    metadata = _own_metadata(path, "lm")
    config = check_lm_config(read_json(metadata.get("config", ""), str(path)), str(path))
    return config, metadata.get("for")


def _own_metadata(path: Path, kind: Kind) -> dict[str, str]:
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT or metadata.get("kind") != kind:
        raise WeightsError(f"{path}: its metadata does not say format {FORMAT}, kind {kind}")
    return metadata


def load_network(
    weights: WeightSet, kind: type[Network], device: torch.device | str = "cpu"
) -> Network:
    """A network of class `kind` with these weights, in eval mode, named as a header names it.

    Raises `WeightsError` naming the file.
    """
    state = read_state(weights.path, weights.layout)
    own_id = _check_id(state, weights.id, weights.path)
    with torch.random.fork_rng(devices=[]):  # loading must not move the caller's random numbers
        model = kind(weights.config, weights.header_name)
    load_state(model, state, weights.path)
    model.weights = weights.origin
    model.weights_id = own_id
    return model.to(device).eval()


def build_lm(weights: LMSet, device: torch.device | str = "cpu") -> LMModel:
    """The language model with these weights, in eval mode. Raises `WeightsError`."""
    state = read_state(weights.path, weights.layout)
    _check_id(state, weights.id, weights.path)
    with torch.random.fork_rng(devices=[]):
        lm = weights.config.build()
    load_state(lm, state, weights.path)
    return lm.to(device).eval()


def _check_id(state: dict[str, Tensor], expected: str | None, path: Path) -> str:
    """The id of the tensors. Raises `WeightsError` where another one was expected."""
    own = weights_id(state)
    if expected not in (None, own):
        raise WeightsError(f"{path}: the file has changed: it no longer holds weights {expected}")
    return own


def reference_lm_config(name: str) -> LMConfig:
    """The network of a reference `.th` language model for `name`."""
    return LMConfig(CONFIGS[name].name)
