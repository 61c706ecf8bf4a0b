"""Language models whose weights are the same on every machine."""

import numpy as np

from model_core.config import DEPTH_WIDTH, LMConfig
from model_core.engine import StateDict


def weights(shape: tuple[int, ...], seed: int, scale: float) -> np.ndarray:
    """Float32 between ±`scale`, from integers alone."""
    count = int(np.prod(shape))
    x = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(2654435761)
    x ^= x >> np.uint64(15)
    x = x * np.uint64(2246822519) >> np.uint64(7)
    units = (x % np.uint64(65536)).astype(np.float64) / 32768 - 1
    return (units * scale).astype(np.float32).reshape(shape)


def state_of(config: LMConfig, *, scale: float = 1.0) -> StateDict:
    """Weights about as large as trained ones at a scale of 1."""
    dim, bins, books = config.dim, config.bins, config.num_codebooks
    shapes: dict[str, tuple[int, ...]] = {}
    norms = ["transformer.norm_in"]
    for k in range(books):
        shapes[f"emb.{k}.weight"] = bins + 1, dim
        shapes[f"linears.{k}.weight"] = bins, dim
        shapes[f"linears.{k}.bias"] = (bins,)
        if config.depth and k + 1 < books:
            shapes[f"depth_emb.{k}.weight"] = bins, DEPTH_WIDTH
    if config.depth:
        shapes |= {"depth_in.weight": (DEPTH_WIDTH, dim), "depth_in.bias": (DEPTH_WIDTH,)}
        shapes |= {"depth_out.weight": (dim, DEPTH_WIDTH), "depth_out.bias": (dim,)}
    for index in range(config.num_layers):
        layer = f"transformer.layers.{index}"
        norms += [f"{layer}.norm1", f"{layer}.norm2"]
        for name, out, inner in (
            ("self_attn.in_proj_", 3 * dim, dim),
            ("self_attn.out_proj.", dim, dim),
            ("linear1.", 4 * dim, dim),
            ("linear2.", dim, 4 * dim),
        ):
            shapes[f"{layer}.{name}weight"] = out, inner
            shapes[f"{layer}.{name}bias"] = (out,)
    state = {}
    for seed, (name, shape) in enumerate(shapes.items()):
        wide = 1.0 if name.startswith(("emb", "depth_emb")) else 3 * dim**-0.5
        state[name] = weights(shape, seed, scale * wide)
    for seed, name in enumerate(norms):
        state[f"{name}.weight"] = scale * (1 + weights((dim,), 1000 + seed, 0.5))
        state[f"{name}.bias"] = weights((dim,), 2000 + seed, 0.2 * scale)
    return state


def codes_of(books: int, frames: int, seed: int = 0) -> np.ndarray:
    """Codes int64 `[books, frames]`, the small ones more often."""
    x = np.abs(weights((books, frames), 3000 + seed, 1.0).astype(np.float64))
    return (1023 * x**3).astype(np.int64)
