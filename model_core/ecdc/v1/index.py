"""The index at the end of a file, and the trailer that points to it.

index:    0xEE, length, payload, CRC-32C
payload:  samples, samples of the original (0: unknown), checksum of all chunks' checksums,
          their lengths
trailer:  bytes of the index (u32), "ECDX"
"""

import struct
from dataclasses import dataclass

from ...errors import BitstreamError
from ..header import MAX_AUDIO_LENGTH
from .checksum import CRC_BYTES, check_crc, crc_of
from .chunk import MIN_CHUNK_BYTES, max_chunk_bytes
from .layout import Layout
from .lengths import Lengths
from .varint import Buffer, read_varint, varint

INDEX = 0xEE
TRAILER_MAGIC = b"ECDX"
_TRAILER = struct.Struct("!I4s")
TRAILER_BYTES = _TRAILER.size
_MAX_FIXED_BYTES = 64  # of an index, without the lengths
_MAX_BYTES_PER_CHUNK = 4


@dataclass(frozen=True)
class Index:
    """What a complete file says of itself at its end."""

    samples: int
    """Of the audio, at the model's rate."""
    original_samples: int
    """Of the recording at its own rate; 0 if that is not known."""
    chain: bytes
    """Checksum over those of all chunks, in order: they are this file's."""
    lengths: Lengths

    def to_bytes(self, layout: Layout) -> bytes:
        """The end of the file: the index and the trailer."""
        payload = varint(self.samples) + varint(self.original_samples) + self.chain
        payload += self.lengths.to_bytes()
        data = bytes([INDEX]) + varint(len(payload)) + payload
        data += crc_of(data, layout.crc)
        return data + _TRAILER.pack(len(data), TRAILER_MAGIC)


def index_bytes(data: Buffer, chunks: int) -> int | None:
    """Bytes of the index that `data` begins with; None if `data` is too short to tell.

    Raises `BitstreamError` for one longer than `chunks` chunks can make it.
    """
    found = read_varint(data, 1)
    if found is None:
        return None
    length, at = found
    if length > _MAX_FIXED_BYTES + _MAX_BYTES_PER_CHUNK * chunks:
        raise BitstreamError(f"the index says that it is {length} bytes long")
    return at + length + CRC_BYTES


def read_index(data: bytes, layout: Layout, before: int) -> Index:
    """The index that is `data`, all of it, of a file with `before` bytes of chunks.

    Raises `BitstreamError` if it is damaged or does not fit those bytes.
    """
    samples, original, rest = read_lengths_of_audio(data, layout)
    chain, groups = rest[:CRC_BYTES], rest[CRC_BYTES:]
    lengths = Lengths.from_bytes(groups, MIN_CHUNK_BYTES, max_chunk_bytes(layout), before)
    if lengths.count != layout.chunks(samples):
        raise BitstreamError(f"the index has {lengths.count} chunks of {samples} samples")
    return Index(samples, original, chain, lengths)


def read_lengths_of_audio(data: bytes, layout: Layout) -> tuple[int, int, bytes]:
    """Samples of the audio and of the original in the index that is `data`, and what follows them.

    Raises `BitstreamError` if it is damaged.
    """
    found = read_varint(data, 1)
    if data[:1] != bytes([INDEX]) or not found or sum(found) + CRC_BYTES != len(data):
        raise BitstreamError("what should be the index is none")
    check_crc(data, "the index", layout.crc)
    payload = data[found[1] : -CRC_BYTES]
    numbers, at = [], 0
    for _ in range(2):
        found = read_varint(payload, at)
        if found is None or found[0] > MAX_AUDIO_LENGTH:
            raise BitstreamError("the index does not hold the length of the audio")
        value, at = found
        numbers.append(value)
    samples, original = numbers
    if not samples:
        raise BitstreamError("the index is of no audio")
    return samples, original, payload[at:]


def trailer_points_at(trailer: Buffer) -> int | None:
    """Bytes of the index before the trailer; None if these bytes are not a trailer."""
    if len(trailer) != TRAILER_BYTES or trailer[-4:] != TRAILER_MAGIC:
        return None
    size: int = _TRAILER.unpack(trailer)[0]
    return size
