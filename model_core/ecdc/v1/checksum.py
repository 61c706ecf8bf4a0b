"""CRC-32C (Castagnoli) over all that the file holds, four bytes, big-endian."""

import google_crc32c

from ...errors import BitstreamError
from .varint import Buffer

CRC_BYTES = 4


def crc_of(data: Buffer) -> bytes:
    """The checksum of `data`, as the file holds it."""
    value: int = google_crc32c.value(bytes(data))
    return value.to_bytes(CRC_BYTES, "big")


def extend_crc(crc: bytes, data: bytes) -> bytes:
    """The checksum of what `crc` is the checksum of, followed by `data`."""
    value: int = google_crc32c.extend(int.from_bytes(crc, "big"), data)
    return value.to_bytes(CRC_BYTES, "big")


def check_crc(data: Buffer, what: str) -> bytes:
    """The checksum that `data` ends with. Raises `BitstreamError` if it is another's."""
    crc = bytes(data[-CRC_BYTES:])
    if crc_of(data[:-CRC_BYTES]) != crc:
        raise BitstreamError(f"{what} is damaged: its checksum is wrong")
    return crc
