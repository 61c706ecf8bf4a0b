"""Weights: which there are, where they come from, checked and loaded.

`find` says which weights a model name gets, `find_exact` finds those that a header names,
`load_model` and `load_lm` load them. A long-lived program keeps a `Registry`, which does not
look twice at the same file.
"""

import torch

from ..errors import WeightsUnavailableError
from ..lm import LMModel
from ..model import EncodecModel
from .digest import weights_id
from .read import build_model
from .registry import PACKAGE_WEIGHTS, Registry
from .save import save_hub, save_lm, save_weights, write_index
from .sets import LMSet, WeightSet

__all__ = [
    "PACKAGE_WEIGHTS",
    "LMSet",
    "Registry",
    "WeightSet",
    "find",
    "find_exact",
    "lm_header_name",
    "load_exact",
    "load_lm",
    "load_model",
    "load_set",
    "save_hub",
    "save_lm",
    "save_weights",
    "weights_id",
    "write_index",
]


def find(name: str, weights: str | None = None) -> WeightSet:
    """The weights to code with; see `Registry.find`."""
    return Registry(weights).find(name)


def find_exact(header_name: str, weights: str | None = None) -> WeightSet:
    """The weights that a header names; see `Registry.find_exact`."""
    return Registry(weights).find_exact(header_name)


def load_model(
    name: str, weights: str | None = None, device: torch.device | str = "cpu"
) -> EncodecModel:
    """The model to code with, in eval mode, its `name` as a header gives it.

    `name` is a model's name or, for exactly those weights, `NAME:<8 hex>`; `weights` is a value
    of `ENCODEC_WEIGHTS` (None: the environment's, or `auto`). Raises `UnknownModelError`,
    `WeightsUnavailableError`, `WeightsError`.
    """
    registry = Registry(weights)
    return registry.load(registry.find(name), device)


def load_exact(
    header_name: str, weights: str | None = None, device: torch.device | str = "cpu"
) -> EncodecModel:
    """The model that decodes a file with this header name: a plain name is the published weights.

    Raises as `load_model`.
    """
    registry = Registry(weights)
    return registry.load(registry.find_exact(header_name), device)


def load_lm(
    header_name: str, weights: str | None = None, device: torch.device | str = "cpu"
) -> LMModel:
    """The language model for exactly the weights that `header_name` names, in eval mode.

    With `+<8 hex>` it is that very one. Raises `WeightsUnavailableError` where there is none.
    """
    registry = Registry(weights)
    return registry.load_lm(registry.find_exact(header_name), device)


def load_set(weights: WeightSet, device: torch.device | str = "cpu") -> EncodecModel:
    """The model with the weights that `find` described. Raises `WeightsError`."""
    return build_model(weights, device)


def lm_header_name(header_name: str, weights: str | None = None) -> str:
    """What a header says when the language model of these weights codes too.

    Raises `WeightsUnavailableError` where there is no language model.
    """
    name = find_exact(header_name, weights).lm_header_name
    if name is None:
        raise WeightsUnavailableError(f"{header_name} has no language model")
    return name
