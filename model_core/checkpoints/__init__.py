"""Weights: which there are, where they come from, checked and loaded.

A `Registry` says which weights a model name gets and which a header names; `shared_registry` is
the one of the environment. `read` gives them to an engine. `load` makes modules of them and `save`
writes them: these two import torch, and are imported by name.
"""

from ..errors import WeightsUnavailableError
from .folder import write_index
from .names import LMSet, WeightSet
from .registry import Registry, remember, shared_registry

__all__ = [
    "LMSet",
    "Registry",
    "WeightSet",
    "lm_header_name",
    "remember",
    "shared_registry",
    "write_index",
]


def lm_header_name(header_name: str, weights: str | None = None) -> str:
    """What a header says when the language model of these weights codes too.

    Raises `WeightsUnavailableError` where there is no language model.
    """
    name = shared_registry(weights).find_exact(header_name).lm_header_name
    if name is None:
        raise WeightsUnavailableError(f"{header_name} has no language model")
    return name
