"""Section `precision`: what TF32 and bfloat16 change, without hardware for them.

Factors are rounded to those types, sums are in float32: as in a GPU's matrix units, except for the
order of the sums. It measures accuracy, not speed.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from model_core.engine import (
    DecodeItem,
    EncodedBlock,
    EngineOptions,
    Precision,
    StreamState,
)
from model_core.engine.cuda import CudaEngine
from model_core.model import EncodecModel, load_model

from .agreement import signal_to_noise
from .clips import Clip
from .models import seeded_model
from .plan import DEFAULT_BANDWIDTH, Plan
from .results import Row, Section
from .rounding import TF32_BITS, rounded
from .table import Column, Table

_SECONDS = 10
PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")

TABLE = Table(
    [
        Column("model", 13),
        Column("weights", 8),
        Column("", 6),
        Column("precision", 9),
        Column("beside float32", 60),
    ]
)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """Rows for each model, with its seeded and with its bundled weights."""
    section.note("rounding is computed on the CPU; sums are in float32")
    for name in plan.models:
        for weights, load in (
            ("seeded", seeded_model),
            ("bundled", partial(load_model, weights="bundled")),
        ):
            for direction, precision, said in _compare(load(name)):
                yield {
                    "model": name,
                    "weights": weights,
                    "direction": direction,
                    "precision": precision,
                    "agreement": said,
                }


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    return [row[k] for k in ("model", "weights", "direction", "precision", "agreement")]


@torch.inference_mode()
def _compare(model: EncodecModel) -> Iterator[tuple[str, str, str]]:
    x = torch.from_numpy(Clip(model.config, _SECONDS).whole())[None]
    tf32 = rounded(model, TF32_BITS)
    for one in (model, tf32):
        one.set_target_bandwidth(DEFAULT_BANDWIDTH)
    exact, other = model.encode(x), tf32.encode(x)
    pairs = [(a[0], b[0]) for (a, _), (b, _) in zip(exact, other, strict=True)]
    codes = torch.cat([(a == b).flatten() for a, b in pairs]).double().mean()
    first = torch.cat([a[0] == b[0] for a, b in pairs]).double().mean()
    heard, expected = model.decode(other), model.decode(exact)
    yield (
        "encode",
        "tf32",
        f"{codes:.2%} of codes, {first:.2%} of the first codebook's; "
        f"audio of them {signal_to_noise(heard[0].numpy(), expected[0].numpy())}",
    )
    said = signal_to_noise(tf32.decode(exact)[0].numpy(), expected[0].numpy())
    yield "decode", "tf32", said
    blocks = [
        EncodedBlock(codes[0].numpy(), None if scale is None else float(scale))
        for codes, scale in exact
    ]
    plain, short = (
        _decoded(CudaEngine(model, "cpu", EngineOptions(max_batch=1, precision=precision)), blocks)
        for precision in PRECISIONS
    )
    yield "decode", "bfloat16", signal_to_noise(short, plain)


def _decoded(engine: CudaEngine, blocks: list[EncodedBlock]) -> np.ndarray:
    """Segments concatenated, or the blocks of one stream."""
    if engine.config.causal:
        state, codes = StreamState(), blocks[0].codes
        cuts = range(engine.block_frames, codes.shape[1], engine.block_frames)
        parts = [EncodedBlock(part) for part in np.split(codes, cuts, axis=1)]
        items = [DecodeItem(part, False, state) for part in parts]
    else:
        items = [DecodeItem(block, True) for block in blocks]
    return np.concatenate([engine.decode([item])[0] for item in items], axis=1)
