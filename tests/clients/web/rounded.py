"""The codec with the numbers that the service sends: float16."""

import asyncio
import io
from dataclasses import replace
from functools import lru_cache

import numpy as np

from model_core.checkpoints import WeightSet
from model_core.checkpoints.read import read_network
from model_core.codec import Codec, open_stored


def rounded(codec: Codec) -> Codec:
    """The same weights as a browser has them."""
    assert isinstance(codec.weights, WeightSet)
    network = read_network(codec.weights)
    assert network.state is not None
    halves = {name: x.astype(np.float16).astype(np.float32) for name, x in network.state.items()}
    return Codec(replace(network, state=halves), codec.lm, codec.weights)


@lru_cache(maxsize=16)
def decoded(codec: Codec, data: bytes, start: int = 0, end: int | None = None) -> np.ndarray:
    """The samples `[C, n]` of a file from `start` up to `end`."""

    async def read() -> np.ndarray:
        audio = open_stored(io.BytesIO(data)).audio(codec, start=start, end=end)
        return np.concatenate([block async for block in audio], axis=1)

    return asyncio.run(read())
