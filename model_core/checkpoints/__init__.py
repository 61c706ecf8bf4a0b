"""Weights: which there are, where they come from, checked and loaded.

A `Registry` says which weights a model name gets and which a header names; `shared_registry` is
the one of the environment. `read` gives them to an engine. `load` makes modules of them and `save`
writes them: these two import torch, and are imported by name.
"""

from .folder import write_index
from .registry import Registry, remember, shared_registry
from .weight_set import LMSet, WeightSet

__all__ = ["LMSet", "Registry", "WeightSet", "remember", "shared_registry", "write_index"]
