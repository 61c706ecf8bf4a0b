"""CRC-32C (Castagnoli): over all that a file holds, in four bytes, big-endian."""

from ...errors import BitstreamError
from .varint import Buffer

CRC_BYTES = 4


NOTHING = bytes(CRC_BYTES)
"""The checksum of no bytes."""


def crc_of(data: Buffer, before: bytes = NOTHING) -> bytes:
    """The checksum of `data`, as the file holds it; or of what `before` is the checksum of,
    followed by `data`."""
    import google_crc32c  # here: training does without

    value: int = google_crc32c.extend(int.from_bytes(before, "big"), bytes(data))
    return value.to_bytes(CRC_BYTES, "big")


def check_crc(data: Buffer, what: str, before: bytes = NOTHING) -> bytes:
    """The checksum that `data` ends with. Raises `BitstreamError` if it is another's."""
    crc = bytes(data[-CRC_BYTES:])
    if crc_of(data[:-CRC_BYTES], before) != crc:
        raise BitstreamError(f"{what} is damaged: its checksum is wrong")
    return crc
