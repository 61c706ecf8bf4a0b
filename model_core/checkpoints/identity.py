"""Whether a model still has the weights that its name stands for."""

import torch

from ..ecdc import parse_model_name
from ..errors import WeightsError
from ..nn.network import EncodecNetwork
from .digest import weights_id
from .registry import shared_registry


def check_unchanged(model: EncodecNetwork) -> None:
    """Raises `WeightsError` where what `model` codes would be decoded with other weights.

    The weights it should have are those that its name gives the id of or, for a plain name, those
    it was loaded with; where there are neither, the name is whoever gave it to answer for. Weights
    rounded to half precision are still the same: the originals are looked for, which raises as
    `Registry.find_exact`.
    """
    # A model pickled by an earlier version has no such attribute.
    expected = parse_model_name(model.name).weights or getattr(model, "weights_id", None)
    if expected is None:
        return
    own = weights_id(model.state_dict())
    if own == expected or own == _rounded_id(model):
        return
    raise WeightsError(
        f"the weights of this model are no longer those of {model.name}, with which its files "
        "would be decoded: save them (model_core.checkpoints.save_weights) and load a model from "
        "there"
    )


def _rounded_id(model: EncodecNetwork) -> str | None:
    """The id of the weights that `model` is named after, in its own precision if that is lower."""
    dtype = next(model.parameters()).dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return None
    registry = shared_registry(model.weights)
    original = registry.load(registry.find_exact(model.name))
    return weights_id(original.to(dtype).state_dict())
