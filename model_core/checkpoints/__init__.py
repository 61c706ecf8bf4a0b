"""Weights: which there are, where they come from, checked and loaded.

A `Registry` says which weights a model name gets and which a header names. `load_model` and
`load_lm` are the short way, through the `shared_registry` of the environment.
"""

import torch

from ..errors import WeightsUnavailableError
from ..lm import LMModel
from ..model import EncodecModel
from .identity import check_unchanged
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
    "load_model",
    "save_hub",
    "save_lm",
    "save_reference",
    "save_weights",
    "shared_registry",
    "write_index",
]


def load_model(
    name: str, weights: str | None = None, device: torch.device | str = "cpu"
) -> EncodecModel:
    """The model to code with, in eval mode, its `name` as a header gives it.

    `name` is a model's name or, for exactly those weights, `NAME:<8 hex>`; `weights` is a value
    of `ENCODEC_WEIGHTS` (None: the environment's, or `auto`). From a folder, this process finds
    them again to decode with; another one must be told of it by `ENCODEC_WEIGHTS`, or load them
    too. Raises `UnknownModelError`, `WeightsUnavailableError`, `WeightsError`.
    """
    registry = shared_registry(weights)
    found = registry.find(name)
    model = registry.load(found, device)
    remember(found)
    return model


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
