"""The network configuration a checkpoint carries: which parts of it a checkpoint may choose."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..config import CONFIGS, ModelConfig
from ..errors import WeightsError
from ..nn.lm import LMModel

# A checkpoint's own network: least and greatest value. All else belongs to the model's name.
_FREE = {
    "n_filters": (2, 256),
    "n_residual_layers": (0, 8),
    "dimension": (1, 1024),
    "lstm": (0, 8),
}
_LM_FREE = {"dim": (8, 4096), "num_layers": (1, 64)}
LM_CONTEXT = 3.5  # s a language model looks back


@dataclass(frozen=True)
class LMConfig:
    """The network of a language model for `name`."""

    name: str
    dim: int = 200
    num_layers: int = 5

    def build(self) -> LMModel:
        """A model with random weights."""
        config = CONFIGS[self.name]
        return LMModel(
            n_q=config.num_codebooks,
            card=config.bins,
            dim=self.dim,
            num_layers=self.num_layers,
            past_context=int(LM_CONTEXT * config.frame_rate),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


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
