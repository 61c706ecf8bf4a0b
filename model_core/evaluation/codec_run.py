"""Codes a clip with this project's codec at every bandwidth, as real `.ecdc` files.

The encoder runs once, with all codebooks: a lower bandwidth uses the codes of the first ones. The
usual streams then write and read each bandwidth's file.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..codec import Codec, Compressor, Decompressor, Work, iterate_now, run_now
from ..codec.compressing import Encoder
from ..codec.work import Inline
from ..ecdc import read_header
from ..engine import EncodedBlock


@dataclass(frozen=True)
class Coded:
    """One file: its sizes in bytes, and the samples `[C, n]` it decodes to.

    `payload_bytes` is without the header; `lm_bytes` and `lm_payload_bytes` are the sizes of the
    file coded with the language model.
    """

    kbps: float
    samples: np.ndarray
    file_bytes: int
    payload_bytes: int
    lm_bytes: int | None = None
    lm_payload_bytes: int | None = None


def encoded(codec: Codec, samples: np.ndarray, bandwidth: float) -> list[EncodedBlock]:
    """The blocks of `samples` `[C, n]` with the codebooks of `bandwidth` (kbps)."""
    encoder = Encoder(codec, codec.config.codebooks_for(bandwidth))
    return run_now(encoder.push(samples)) + run_now(encoder.finish())


def coded(
    codec: Codec, samples: np.ndarray, bandwidths: Sequence[float], lm: bool
) -> tuple[list[Coded], np.ndarray]:
    """`samples` `[C, n]` at each of `bandwidths`, and the codes `[K, T]` at the highest.

    With `lm`, it also writes the files coded with the language model (and does not read them: they
    hold the same codes). Raises `UnsupportedBandwidthError`, `WeightsUnavailableError`.
    """
    blocks = encoded(codec, samples, max(bandwidths))
    results = []
    for bandwidth in bandwidths:
        header, payload = _compressed(codec, samples, bandwidth, blocks, lm=False)
        stream = io.BytesIO(header + payload)
        decoded = list(iterate_now(Decompressor(codec, read_header(stream), stream).blocks()))
        sizes: tuple[int, int] | tuple[None, None] = (None, None)
        if lm:
            lm_header, lm_payload = _compressed(codec, samples, bandwidth, blocks, lm=True)
            sizes = len(lm_header) + len(lm_payload), len(lm_payload)
        results.append(
            Coded(
                bandwidth,
                np.concatenate(decoded, axis=1),
                len(header) + len(payload),
                len(payload),
                *sizes,
            )
        )
    return results, np.concatenate([block.codes for block in blocks], axis=1)


def _compressed(
    codec: Codec, samples: np.ndarray, bandwidth: float, blocks: list[EncodedBlock], lm: bool
) -> tuple[bytes, bytes]:
    """Header and payload."""
    runner = _Known(blocks, codec.config.codebooks_for(bandwidth))
    compressor = Compressor(codec, bandwidth, lm, runner)
    payload = run_now(compressor.push(samples)) + run_now(compressor.finish())
    return compressor.header.to_bytes(), payload


class _Known(Inline):
    """A `Runner` that returns encoded blocks: the next of `blocks`, `codebooks` of each."""

    def __init__(self, blocks: Sequence[EncodedBlock], codebooks: int):
        self._blocks = iter(blocks)
        self._codebooks = codebooks

    async def run(self, works: Sequence[Work], *, in_order: bool = False) -> list[Any]:
        if any(work.task.name != "encode" for work in works):
            return await super().run(works, in_order=in_order)
        known = islice(self._blocks, len(works))
        return [EncodedBlock(block.codes[: self._codebooks], block.scale) for block in known]
