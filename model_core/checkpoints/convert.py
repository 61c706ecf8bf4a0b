"""The tensors of any layout under the reference's names, and back to Hugging Face's.

reference                               Hugging Face
encoder.model.0.conv.conv.weight_g      encoder.layers.0.conv.weight_g
                                        … or .conv.parametrizations.weight.original0
                                        … or one fused .conv.weight
encoder.model.0.conv.norm.bias          encoder.layers.0.norm.bias
decoder.model.3.convtr.convtr.bias      decoder.layers.3.conv.bias
encoder.model.13.lstm.bias_hh_l0        encoder.layers.13.lstm.bias_hh_l0
quantizer.vq.layers.0._codebook.embed   quantizer.layers.0.codebook.embed
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np

from ..config import ModelConfig
from ..engine import State
from ..errors import WeightsError
from .config import read_hub_config
from .files import read_reference, read_safetensors
from .names import FileName, Layout, weights_id

HUB_TENSORS = "model.safetensors"

HubForm = Literal["weight_g", "original", "fused"]

_PARAMETRIZED = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
_ORIGINAL = {ours: hub for hub, ours in _PARAMETRIZED.items()}
_HUB_CONV = re.compile(r"((?:encoder|decoder)\.layers\.(\d+)(?:\.\w+)*?)\.(conv|norm)\.([\w.]+)")
_OUR_CONV = re.compile(
    r"((?:encoder|decoder)\.model\.[\w.]+?)\.(?:conv|convtr)\.(conv|convtr|norm)\.(\w+)"
)


def read_state(path: Path, layout: Layout) -> State:
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


def transposed_layers(config: ModelConfig) -> set[int]:
    """Positions of the transposed convolutions in the decoder's list of layers."""
    first = 2 if config.lstm else 1  # after the first convolution and the LSTM
    step = 2 + config.n_residual_layers  # ELU, transposed convolution, residual units
    return {first + 1 + step * i for i in range(len(config.ratios))}


def from_hub(state: State, config: ModelConfig) -> State:
    """Hugging Face's tensors under the reference's names.

    A fused convolution weight `w` of a weight-norm model becomes `g = ‖w‖, v = w`, the norm taken
    in float64 so that every machine gets the same bits. Names of no known form stay as they are
    (and are reported as unexpected when the tensors are loaded).
    """
    transposed = transposed_layers(config)
    renamed: State = {}
    for name, tensor in state.items():
        ours = _reference_name(name, transposed)
        is_weight = ours.endswith((".conv.conv.weight", ".convtr.convtr.weight"))
        if config.norm == "weight_norm" and is_weight and tensor.ndim == 3:
            renamed[f"{ours}_g"] = channel_norm(tensor)
            renamed[f"{ours}_v"] = tensor
        else:
            renamed[ours] = tensor
    return renamed


def _reference_name(name: str, transposed: set[int]) -> str:
    if name.startswith("quantizer.layers."):
        return name.replace("quantizer.layers.", "quantizer.vq.layers.", 1).replace(
            ".codebook.", "._codebook.", 1
        )
    match = _HUB_CONV.fullmatch(name)
    if match is None:
        return re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
    module, layer, part, leaf = match.groups()
    is_transposed = name.startswith("decoder.") and int(layer) in transposed
    conv = "convtr" if is_transposed else "conv"
    path = module.replace(".layers.", ".model.", 1)
    inner = conv if part == "conv" else "norm"
    return f"{path}.{conv}.{inner}.{_PARAMETRIZED.get(leaf, leaf)}"


def to_hub(state: State, form: HubForm = "original") -> State:
    """Tensors under reference names as `transformers` names them, weight norm in the given form."""
    renamed: State = {}
    for name, tensor in state.items():
        hub = _hub_name(name)
        if form == "fused" and hub.endswith(".weight_g"):
            direction = state[f"{name[:-1]}v"]
            wide = direction.astype(np.float64)
            joined = tensor.astype(np.float64) * wide / channel_norm(wide)
            renamed[hub.removesuffix("_g")] = joined.astype(direction.dtype)
        elif form == "fused" and hub.endswith(".weight_v"):
            continue
        elif form == "original" and hub.rsplit(".", 1)[-1] in _ORIGINAL:
            path, leaf = hub.rsplit(".", 1)
            renamed[f"{path}.{_ORIGINAL[leaf]}"] = tensor
        else:
            renamed[hub] = tensor
    return renamed


def _hub_name(name: str) -> str:
    if name.startswith("quantizer.vq.layers."):
        return name.replace("quantizer.vq.layers.", "quantizer.layers.", 1).replace(
            "._codebook.", ".codebook.", 1
        )
    match = _OUR_CONV.fullmatch(name)
    if match is None:
        return re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)
    module, inner, leaf = match.groups()
    part = "norm" if inner == "norm" else "conv"
    return f"{module.replace('.model.', '.layers.', 1)}.{part}.{leaf}"


def channel_norm(weight: np.ndarray) -> np.ndarray:
    """The norm of each `weight[i]` of `[C, C', k]`: `[C, 1, 1]`, computed in float64."""
    squares = np.square(weight.astype(np.float64))
    norm: np.ndarray = np.sqrt(squares.sum(axis=(1, 2), keepdims=True)).astype(weight.dtype)
    return norm
