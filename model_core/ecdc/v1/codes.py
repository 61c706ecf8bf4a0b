"""Codes in a chunk without a language model: one codebook after the other, without gaps.

Codes `[K, T]` of the T frames of all segments, in C order, least significant bit first. The first
k codebooks are therefore the first `k * T * bits` bits: codebooks are dropped by cutting.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bits import BitPacker, BitUnpacker


def pack_codes(codes: NDArray[np.integer[Any]], bits: int) -> bytes:
    """Codes `[K, T]` as bytes, the last one filled up with zeros. Raises `ValueError` for codes
    of more than `bits` bits."""
    packer = BitPacker(bits)
    return packer.push(codes) + packer.flush()


def unpack_codes(data: bytes, num_codebooks: int, bits: int, frames: int) -> NDArray[np.int64]:
    """Codes `[K, frames]` of the first `num_codebooks` codebooks; inverse of `pack_codes`.

    Raises `TruncatedBitstreamError` if `data` is too short; what follows the codes is ignored.
    """
    unpacker = BitUnpacker(bits)
    unpacker.feed(data)
    return unpacker.pull(num_codebooks * frames).reshape(num_codebooks, frames)


def keep_codebooks(data: bytes, num_codebooks: int, bits: int, frames: int) -> bytes:
    """The packed codes of the first `num_codebooks` codebooks."""
    size, rest = divmod(num_codebooks * frames * bits, 8)
    if not rest:
        return data[:size]
    return data[:size] + bytes([data[size] & ((1 << rest) - 1)])
