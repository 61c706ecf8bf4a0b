"""The contenders by name."""

from model_core.model import EncodecModel

from .contender import Contender
from .hub import Hub
from .ours import Ours
from .reference import Reference

OURS = "ours"
PEERS = ("reference", "transformers")
NAMES = (OURS, *PEERS)


def build(name: str, model: EncodecModel, backend: str | None = None) -> Contender:
    """The contender `name` with the weights of `model`; `backend` is for this project only.

    Raises `MissingContenderError` if its package is not installed, and `EncodecError` for a
    backend that does not work here.
    """
    if name == OURS:
        return Ours(model, backend)
    return Reference(model) if name == "reference" else Hub(model)
