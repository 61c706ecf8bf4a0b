"""EnCodec: high fidelity neural audio compression (arXiv 2210.13438).

The names below are loaded when they are first used, so that a part of the package needs only
what it imports itself.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import distrib
    from .balancer import Balancer
    from .compress import compress, compress_to_file, decompress, decompress_from_file
    from .errors import EncodecError
    from .model import EncodecModel
    from .training.codec.discriminator import MultiScaleSTFTDiscriminator
    from .utils import convert_audio, load_audio, save_audio

__version__ = "0.1.0"

__all__ = [
    "Balancer",
    "EncodecError",
    "EncodecModel",
    "MultiScaleSTFTDiscriminator",
    "compress",
    "compress_to_file",
    "convert_audio",
    "decompress",
    "decompress_from_file",
    "distrib",
    "load_audio",
    "save_audio",
]

_HOMES = {
    "Balancer": "balancer",
    "EncodecError": "errors",
    "EncodecModel": "model",
    "MultiScaleSTFTDiscriminator": "training.codec.discriminator",
    "compress": "compress",
    "compress_to_file": "compress",
    "convert_audio": "utils",
    "decompress": "compress",
    "decompress_from_file": "compress",
    "load_audio": "utils",
    "save_audio": "utils",
}


def __getattr__(name: str) -> Any:
    if name == "distrib":
        return importlib.import_module(".distrib", __name__)
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps `model_core.compress` the function, as in the reference: importing the module of that
    name binds it here, and this class binds its function instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "compress" and isinstance(value, ModuleType):
            value = value.compress
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
