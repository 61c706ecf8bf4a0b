"""`config.json` of a Hugging Face EnCodec model to `ModelConfig` and back."""

from collections.abc import Mapping
from typing import Any

from ..config import CONFIGS, ModelConfig
from ..errors import WeightsError
from .netconfig import check_config

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


def config_from_hub(data: Mapping[str, Any], where: str) -> ModelConfig:
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
    for name, config in CONFIGS.items():
        if (fields["sample_rate"], fields["channels"]) == (config.sample_rate, config.channels):
            overlap = config.overlap if config.segment is None else data.get("overlap")
            return check_config({**fields, "name": name, "overlap": overlap}, where)
    raise WeightsError(
        f"{where}: no model has {fields['sample_rate']} Hz and {fields['channels']} channels"
    )


def config_to_hub(config: ModelConfig) -> dict[str, Any]:
    """What stands in `config.json` for this model, as plain JSON values."""
    fields = {hub: getattr(config, ours) for hub, ours, _ in _FIELDS}
    lists = {key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}
    overlap = None if config.segment is None else config.overlap
    return {
        "architectures": ["EncodecModel"],
        **_FIXED,
        **lists,
        "codebook_dim": config.dimension,
        "overlap": overlap,
    }
