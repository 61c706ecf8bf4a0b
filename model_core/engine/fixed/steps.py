"""One step of every stream of a batch: what is captured once and replayed for each batch.

Inputs and outputs are tensors by name; their first dimension is the batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...model import EncodecModel
from .carried import Carried, carried_size
from .network import run_network
from .rows import Rows, only_inside

Tensors = dict[str, Tensor]

CODE = torch.int32
"""Codes on their way to and from the device."""


@dataclass(frozen=True)
class Variant:
    """What a step is specialised to."""

    whole: bool = False
    """All rows are whole segments (of the model that has such): no lengths are looked at."""

    num_codebooks: int = 0
    """For encoding: how many codebooks are searched."""


@dataclass(frozen=True)
class Step:
    """`run`, with what it takes and gives beside the carried rows as examples of a batch of one
    (outputs at their largest), and `begin` `[S]`, the row of a stream that begins (of a model that
    carries nothing, None)."""

    run: Callable[[Mapping[str, Tensor], Variant], Tensors]
    inputs: Tensors
    outputs: Tensors
    begin: Tensor | None


def encode_step(model: EncodecModel, samples: int) -> Step:
    """Samples `[B, C, T]`, of which `length` `[B]` count, to codes `[B, K, frames]` and, where the
    model normalises, scales `[B]`."""
    config = model.config

    def run(given: Mapping[str, Tensor], variant: Variant) -> Tensors:
        x, length = given["samples"], given["length"]
        out: Tensors = {}
        if config.normalize:
            x = only_inside(x, length)
            power = x.mean(dim=1).square().sum(dim=1) / length
            out["scale"] = 1e-8 + power.sqrt()
            x = x / out["scale"][:, None, None]
        carried = Carried(given["carried"]) if config.causal else None
        rows = Rows(x, None if variant.whole else length)
        latent = run_network(model.encoder.model, rows, carried).x
        codes = model.quantizer.encode_with(latent, variant.num_codebooks)
        out["codes"] = codes.transpose(0, 1).to(CODE, memory_format=torch.contiguous_format)
        if carried is not None:
            out["carried"] = carried.after()
        return out

    dtype = next(model.parameters()).dtype
    frames = config.frames(samples)
    outputs = {"codes": torch.zeros(1, config.num_codebooks, frames, dtype=CODE)}
    if config.normalize:
        outputs["scale"] = torch.zeros(1, dtype=dtype)
    return Step(
        run,
        {
            "samples": torch.zeros(1, config.channels, samples, dtype=dtype),
            "length": torch.full((1,), samples),
        },
        outputs,
        torch.zeros(carried_size(model.encoder.model), dtype=dtype) if config.causal else None,
    )


def decode_step(model: EncodecModel, frames: int) -> Step:
    """Codes `[B, K, frames]`, of which `length` `[B]` count in the first `num_codebooks` `[B]`
    codebooks, and what to multiply the audio by, `scale` `[B]`, to samples `[B, C, T]`."""
    config = model.config
    books = model.quantizer.codebooks
    kind = books[0].codebook.embed.dtype

    def run(given: Mapping[str, Tensor], variant: Variant) -> Tensors:
        codes = given["codes"].long()
        latent = books[0].decode(codes[:, 0])
        for number, book in enumerate(books[1:], start=1):
            used = (number < given["num_codebooks"])[:, None, None]
            latent = latent + torch.where(used, book.decode(codes[:, number]), 0)
        carried = Carried(given["carried"]) if config.causal else None
        rows = Rows(latent, None if variant.whole else given["length"])
        y = run_network(model.decoder.model, rows, carried).x.to(kind)
        out = {"samples": y * given["scale"][:, None, None]}
        if carried is not None:
            out["carried"] = carried.after()
        return out

    return Step(
        run,
        {
            "codes": torch.zeros(1, config.num_codebooks, frames, dtype=CODE),
            "num_codebooks": torch.ones(1, dtype=torch.int64),
            "length": torch.full((1,), frames),
            "scale": torch.ones(1, dtype=kind),
        },
        {"samples": torch.zeros(1, config.channels, frames * config.hop_length, dtype=kind)},
        torch.zeros(carried_size(model.decoder.model), dtype=kind) if config.causal else None,
    )
