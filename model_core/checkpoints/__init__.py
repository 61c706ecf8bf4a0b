"""Weights: which there are, where they come from, checked and loaded.

A `Registry` says which weights a model name gets and which a header names. `load_lm` is the short
way to a language model, through the `shared_registry` of the environment.
"""

import torch

from ..errors import WeightsUnavailableError
from ..nn.lm import LMModel
from .identity import check_unchanged
from .read import load_network
from .reference import save_reference
from .registry import Registry, remember, shared_registry
from .save import save_hub, save_lm, save_weights, write_index
from .sets import WeightSet

__all__ = [
    "Registry",
    "WeightSet",
    "check_unchanged",
    "lm_header_name",
    "load_lm",
    "load_network",
    "remember",
    "save_hub",
    "save_lm",
    "save_reference",
    "save_weights",
    "shared_registry",
    "write_index",
]


def load_lm(
    header_name: str, weights: str | None = None, device: torch.device | str = "cpu"
) -> LMModel:
    """The language model for exactly the weights that `header_name` names, in eval mode.

    With `+<8 hex>` it is that very one. Raises `WeightsUnavailableError` where there is none.
    """
    registry = shared_registry(weights)
    return registry.load_lm(registry.find_exact(header_name), device)


def lm_header_name(header_name: str, weights: str | None = None) -> str:
    """What a header says when the language model of these weights codes too.

    Raises `WeightsUnavailableError` where there is no language model.
    """
    name = shared_registry(weights).find_exact(header_name).lm_header_name
    if name is None:
        raise WeightsUnavailableError(f"{header_name} has no language model")
    return name
