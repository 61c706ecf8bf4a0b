"""Hugging Face's model folders: their configuration, their names of tensors, and their download."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..config import CONFIGS, ModelConfig, check_config
from ..engine import StateDict
from ..engine.plan import state_shapes
from ..errors import WeightsError, WeightsUnavailableError
from .files import read_bytes, read_json

HUB_CONFIG = "config.json"
HUB_TENSORS = "model.safetensors"

REPOSITORIES = {
    "encodec_24khz": "facebook/encodec_24khz",
    "encodec_48khz": "facebook/encodec_48khz",
}
"""Where the published models are on the hub; a model may be in none."""

_CONNECT_SECONDS = 5

# What the networks here always do. `transformers` fills in the same where a file leaves one out.
_FIXED: dict[str, Any] = {
    "model_type": "encodec",
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "dilation_growth_rate": 2,
    "compress": 2,
    "pad_mode": "reflect",
    "trim_right_ratio": 1.0,
    "use_conv_shortcut": True,
}
# Hugging Face's name, ours, and what a missing entry means there.
_FIELDS: tuple[tuple[str, str, Any], ...] = (
    ("target_bandwidths", "target_bandwidths", (1.5, 3.0, 6.0, 12.0, 24.0)),
    ("sampling_rate", "sample_rate", 24_000),
    ("audio_channels", "channels", 1),
    ("normalize", "normalize", False),
    ("chunk_length_s", "segment", None),
    ("hidden_size", "dimension", 128),
    ("num_filters", "n_filters", 32),
    ("num_residual_layers", "n_residual_layers", 1),
    ("upsampling_ratios", "ratios", (8, 5, 4, 2)),
    ("norm_type", "norm", "weight_norm"),
    ("use_causal_conv", "causal", True),
    ("codebook_size", "bins", 1024),
    ("num_lstm_layers", "lstm", 2),
)

# From the reference's names of tensors to Hugging Face's.
_RENAMED = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv|convtr)\.\1\.", ".conv."),
    (r"\.(?:conv|convtr)\.norm\.", ".norm."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"^quantizer\.vq\.layers\.", "quantizer.layers."),
    (r"\._codebook\.", ".codebook."),
)


def read_hub_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder. Raises `WeightsError`."""
    path = folder / HUB_CONFIG
    return config_from_hub(read_json(read_bytes(path), path), path)


def config_from_hub(data: Mapping[str, Any], where: Path | str) -> ModelConfig:
    """The configuration a `config.json` describes, its name found by rate and channels.

    Raises `WeightsError`, naming the file `where`, for a network that cannot be built here or
    that does not make the bitstream of a model of ours.
    """
    for key, value in _FIXED.items():
        if data.get(key, value) != value:
            raise WeightsError(f"{where}: {key} is {data[key]!r}; only {value!r} can be used")
    fields = {ours: data.get(hub, default) for hub, ours, default in _FIELDS}
    if data.get("codebook_dim") not in (None, fields["dimension"]):
        raise WeightsError(f"{where}: codebook_dim differs from hidden_size")
    rate, channels = fields["sample_rate"], fields["channels"]
    for name, config in CONFIGS.items():
        if (rate, channels) == (config.sample_rate, config.channels):
            overlap = config.overlap if config.segment is None else data.get("overlap")
            return check_config({**fields, "name": name, "overlap": overlap}, where)
    raise WeightsError(f"{where}: no model has {rate} Hz and {channels} channels")


def config_to_hub(config: ModelConfig) -> dict[str, Any]:
    """What stands in `config.json` for this model, as plain JSON values."""
    fields = {hub: getattr(config, ours) for hub, ours, _ in _FIELDS}
    return {
        "architectures": ["EncodecModel"],
        **_FIXED,
        **{key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()},
        "codebook_dim": config.dimension,
        "overlap": None if config.segment is None else config.overlap,
    }


def from_hub(state: StateDict, config: ModelConfig) -> StateDict:
    """Hugging Face's tensors under the reference's names.

    Weight norm may be in its old form (`weight_g`), in that of `parametrizations`, or fused: a
    fused weight `w` becomes `g = ‖w‖, v = w`, the norm taken in float64 so that every machine gets
    the same bits. Names of no known form stay as they are (and are reported as unexpected when the
    tensors are loaded).
    """
    reference_names = {_hub_name(name): name for name in state_shapes(config)}
    renamed: StateDict = {}
    for name, tensor in state.items():
        gain = reference_names.get(_hub_name(f"{name}_g"))
        if gain is not None and tensor.ndim == 3:
            squares = np.square(tensor.astype(np.float64))
            norm = np.sqrt(squares.sum(axis=(1, 2), keepdims=True))
            renamed[gain] = norm.astype(tensor.dtype)
            # a channel of zeros has the norm 0, by which nothing is divided
            renamed[f"{gain[:-1]}v"] = np.where(norm > 0, tensor, tensor.dtype.type(1))
        else:
            renamed[reference_names.get(_hub_name(name), name)] = tensor
    return renamed


def to_hub(state: StateDict) -> StateDict:
    """Tensors under the reference's names as `transformers` names them."""
    return {_hub_name(name): tensor for name, tensor in state.items()}


def _hub_name(name: str) -> str:
    """Of a tensor of the reference, or of a folder written before `parametrizations`."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def cached_hub_folder(name: str, cache_dir: Path | None) -> Path | None:
    """The folder that holds the model `name`, if both of its files are in the hub's cache."""
    if name not in REPOSITORIES:
        return None
    try:
        return _hub_folder(name, cache_dir, None, local=True)
    except (OSError, ImportError):  # the client's "not in the cache" is an `OSError`
        return None


def fetch_hub_folder(name: str, cache_dir: Path | None, endpoint: str | None) -> Path:
    """The folder that holds the model `name`, from the cache or else from the hub.

    Raises `WeightsUnavailableError`.
    """
    folder = cached_hub_folder(name, cache_dir)
    if folder is not None:
        return folder
    if name not in REPOSITORIES:
        raise WeightsUnavailableError(f"{name} is not published on the Hugging Face hub")
    try:
        return _hub_folder(name, cache_dir, endpoint, local=False)
    except Exception as error:  # the client's own HTTP library fails in ways of its own
        cause = error.__cause__ or error  # the client says only that it failed
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise WeightsUnavailableError(
            f"{REPOSITORIES[name]} could not be downloaded from the Hugging Face hub: {reason}"
        ) from error


def _hub_folder(name: str, cache_dir: Path | None, endpoint: str | None, *, local: bool) -> Path:
    from huggingface_hub import hf_hub_download  # a machine without it still codes and trains

    files = [
        hf_hub_download(
            REPOSITORIES[name],
            file,
            cache_dir=cache_dir,
            endpoint=endpoint,
            etag_timeout=_CONNECT_SECONDS,
            local_files_only=local,
        )
        for file in (HUB_CONFIG, HUB_TENSORS)
    ]
    return Path(files[0]).parent
