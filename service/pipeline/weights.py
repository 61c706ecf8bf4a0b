"""A model's weights for decoders elsewhere, such as `clients/web`: safetensors whose tensors stand
in the order in which the native engine's C++ takes them."""

import json
import struct
from enum import StrEnum

import numpy as np

from model_core.checkpoints import Registry, WeightSet
from model_core.checkpoints.read import read_lm, read_network
from model_core.engine import StateDict
from model_core.engine.plan import weight_shapes
from model_core.entropy.native_lm import flat_arrays
from model_core.entropy.quantize import quantize
from model_core.errors import WeightsUnavailableError

_DTYPES = {"float16": "F16", "int64": "I64", "int32": "I32", "int8": "I8"}
_ALIGNMENT = 8


class Part(StrEnum):
    """What a decoder may need without the rest."""

    ENCODER = "encoder"
    DECODER = "decoder"
    CODEBOOKS = "codebooks"
    LM = "lm"


_PREFIXES = {Part.ENCODER: "encoder.", Part.DECODER: "decoder.", Part.CODEBOOKS: "quantizer."}


def weights_file(registry: Registry, weights: WeightSet, part: Part) -> bytes:
    """The part as a safetensors file: networks and codebooks in float16, under the reference's
    names; of the language model the integers of its exact form, `numbers`, `weights` and `tables`.

    Raises `WeightsError`, and `WeightsUnavailableError` where there is no language model, or where
    a number is beyond float16.
    """
    if part is Part.LM:
        lm = registry.fetch_lm(weights)
        arrays = flat_arrays(quantize(read_lm(lm), lm.config))
        named = dict(zip(("numbers", "weights", "tables"), arrays, strict=True))
        return _safetensors(named, {"config": json.dumps(lm.config.to_dict())})
    state = read_network(weights).state
    assert state is not None  # checkpoints are float32
    names = [n for n in weight_shapes(weights.config) if n.startswith(_PREFIXES[part])]
    halves = {name: _half(state[name], name) for n in names for name in _stored(n, state)}
    return _safetensors(halves, {"config": json.dumps(weights.config.to_dict())})


def _stored(name: str, state: StateDict) -> list[str]:
    """The tensors of `state` that make the weight `name`: of weight norm, which is not folded here
    so that checkpoints in float16 keep their bits, two."""
    return [name] if name in state else [f"{name}_g", f"{name}_v"]


def _half(values: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        half: np.ndarray = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise WeightsUnavailableError(f"{name} has numbers beyond float16")
    return half


def _safetensors(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The library's own writer sorts tensors; readers of this file need not know the order."""
    header: dict[str, object] = {"__metadata__": metadata}
    place = 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([struct.pack("<Q", len(text)), text, *(a.tobytes() for a in arrays.values())])
