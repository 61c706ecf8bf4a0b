"""A clip through this project's codec, at every bandwidth, as real `.ecdc` files.

The encoder runs once, with all codebooks: at a lower bandwidth the codes are the first of the
same codebooks. Each bandwidth's file is then written, and read, by the ordinary streams.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..codec import Codec, Compressor, Decompressor, Steps, run_steps
from ..codec.compressing import Encoder
from ..ecdc import read_header
from ..engine import EncodedBlock


@dataclass(frozen=True)
class Coded:
    """One file: its sizes in bytes, and the samples `[C, n]` it decodes to.

    `payload_bytes` is without the header; `lm_bytes` and `lm_payload_bytes` are those of the file
    that the language model codes too.
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
    return run_steps(encoder.push(samples)) + run_steps(encoder.finish())


def coded(
    codec: Codec, samples: np.ndarray, bandwidths: Sequence[float], lm: bool
) -> tuple[list[Coded], np.ndarray]:
    """`samples` `[C, n]` at each of `bandwidths`, and the codes `[K, T]` at the highest.

    With `lm`, the language model's files are written as well (not read: they hold the same
    codes). Raises `UnsupportedBandwidthError`, `WeightsUnavailableError`.
    """
    blocks = encoded(codec, samples, max(bandwidths))
    results = []
    for bandwidth in bandwidths:
        header, payload = _compressed(codec, samples, bandwidth, blocks, lm=False)
        stream = io.BytesIO(header + payload)
        decoded = list(Decompressor(codec, read_header(stream), stream).blocks())
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
    compressor = Compressor(codec, bandwidth, lm)
    known = iter(blocks)
    payload = _run(compressor.push(samples), codec, bandwidth, known)
    payload += _run(compressor.finish(), codec, bandwidth, known)
    return compressor.header.to_bytes(), payload


def _run(
    steps: Steps[bytes], codec: Codec, bandwidth: float, known: Iterator[EncodedBlock]
) -> bytes:
    """As `run_steps`, but the encoder's work is already done: `known`, block after block."""
    codebooks = codec.config.codebooks_for(bandwidth)
    results: list[object] | None = None
    try:
        while True:
            wanted = next(steps) if results is None else steps.send(results)
            results = []
            for work in wanted:
                if work.task is codec.encode_task:
                    block = next(known)
                    results.append(EncodedBlock(block.codes[:codebooks], block.scale))
                else:
                    results += work.task.run([work.item])
    except StopIteration as done:
        payload: bytes = done.value
        return payload
