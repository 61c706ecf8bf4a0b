"""The network configuration a checkpoint carries, read from each layout and checked.

A checkpoint may choose parts of its network (the width, say); all that a bitstream depends on
belongs to the model's name.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import CONFIGS, LMConfig, ModelConfig
from ..errors import WeightsError
from .files import FORMAT, read_bytes, read_json, read_metadata, read_reference
from .names import Kind

HUB_CONFIG = "config.json"

# A checkpoint's own network: least and greatest value.
_FREE = {
    "n_filters": (2, 256),
    "n_residual_layers": (0, 8),
    "dimension": (1, 1024),
    "lstm": (0, 8),
}
_LM_FREE = {"dim": (8, 4096), "num_layers": (1, 64)}

_FIRST = "encoder.model.0.conv.conv.weight"

# What the networks here always do. `transformers` fills in the same where a file leaves one out.
_HUB_FIXED: dict[str, Any] = {
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
_HUB_FIELDS: tuple[tuple[str, str, Any], ...] = (
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


def read_own_config(path: Path) -> ModelConfig:
    """The model configuration that a `.safetensors` file of ours carries.

    Raises `WeightsError`, as every function here does.
    """
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


def read_reference_config(path: Path, name: str) -> ModelConfig:
    """The network in a `.th` for `name`: the standard one, as wide as its first convolution."""
    state = read_reference(path)
    first = state.get(f"{_FIRST}_v", state.get(_FIRST))
    standard = CONFIGS[name]
    if first is None or first.ndim != 3:
        return standard  # what is wrong with it is said when it is loaded
    return check_config({**standard.to_dict(), "n_filters": len(first)}, str(path))


def read_hub_config(folder: Path) -> ModelConfig:
    """The configuration of a Hugging Face model folder."""
    path = folder / HUB_CONFIG
    return config_from_hub(read_json(read_bytes(path), str(path)), str(path))


def config_from_hub(data: Mapping[str, Any], where: str) -> ModelConfig:
    """The configuration a `config.json` describes, its name found by rate and channels.

    Raises `WeightsError`, naming the file `where`, for a network that cannot be built here or
    that does not make the bitstream of a model of ours.
    """
    for key, value in _HUB_FIXED.items():
        if data.get(key, value) != value:
            raise WeightsError(f"{where}: {key} is {data[key]!r}; only {value!r} can be used")
    fields = {ours: data.get(hub, default) for hub, ours, default in _HUB_FIELDS}
    if data.get("codebook_dim") not in (None, fields["dimension"]):
        raise WeightsError(f"{where}: codebook_dim differs from hidden_size")
    for name, config in CONFIGS.items():
        if (fields["sample_rate"], fields["channels"]) == (config.sample_rate, config.channels):
            overlap = config.overlap if config.segment is None else data.get("overlap")
            return check_config({**fields, "name": name, "overlap": overlap}, where)
    raise WeightsError(
        f"{where}: no model has {fields['sample_rate']} Hz and {fields['channels']} channels"
    )


def config_to_hub(config: ModelConfig) -> dict[str, Any]:
    """What stands in `config.json` for this model, as plain JSON values."""
    fields = {hub: getattr(config, ours) for hub, ours, _ in _HUB_FIELDS}
    lists = {key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}
    overlap = None if config.segment is None else config.overlap
    return {
        "architectures": ["EncodecModel"],
        **_HUB_FIXED,
        **lists,
        "codebook_dim": config.dimension,
        "overlap": overlap,
    }


def check_config(data: Mapping[str, Any], where: str) -> ModelConfig:
    """The configuration in `data`, checked against the model of its name.

    Raises `WeightsError`, naming the file `where`, for unknown fields, for a network out of
    bounds, and for anything else than the model's own value in what a bitstream depends on.
    """
    name = data.get("name")
    if not isinstance(name, str) or name not in CONFIGS:
        raise WeightsError(f"{where}: no model is called {name!r}")
    standard = CONFIGS[name]
    unknown = set(data) - set(standard.to_dict())
    if unknown:
        raise WeightsError(f"{where}: unknown configuration fields: {sorted(unknown)}")
    _check_bounds(data, _FREE, where)
    for key, value in standard.to_dict().items():
        own = data.get(key, value)
        if key not in _FREE and (tuple(own) if isinstance(own, list) else own) != value:
            raise WeightsError(f"{where}: {key} is {own!r}, but {name} has {value!r}")
    return replace(standard, **{key: data[key] for key in _FREE if key in data})


def check_lm_config(data: Mapping[str, Any], where: str) -> LMConfig:
    """The language model configuration in `data`. Raises `WeightsError` naming the file."""
    name = data.get("name")
    if not isinstance(name, str) or name not in CONFIGS or set(data) - {"name", *_LM_FREE}:
        raise WeightsError(f"{where}: not a language model configuration: {dict(data)!r:.200}")
    _check_bounds(data, _LM_FREE, where)
    config = LMConfig(**data)
    if config.dim % 8:  # attention heads
        raise WeightsError(f"{where}: dim is {config.dim}, which is not a multiple of 8")
    return config


def _check_bounds(
    data: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]], where: str
) -> None:
    for key, (least, greatest) in bounds.items():
        value = data.get(key, least)
        if type(value) is not int or not least <= value <= greatest:
            raise WeightsError(f"{where}: {key} is {value!r}, not within {least} to {greatest}")
