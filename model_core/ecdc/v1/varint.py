"""Unsigned integers in as few bytes as they need: LEB128.

Seven bits a byte, the least significant first; all bytes but the last have their top bit set.
"""

from ...errors import BitstreamError

MAX_VARINT = 2**56 - 1
MAX_VARINT_BYTES = 8

Buffer = bytes | bytearray


def varint(value: int) -> bytes:
    """`value` in 1 to 8 bytes. Raises `ValueError` beyond 0..2**56 - 1."""
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"{value} is not in 0..{MAX_VARINT}")
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def read_varint(data: Buffer, at: int) -> tuple[int, int] | None:
    """The number at `data[at]` and the place after it; None if `data` ends inside it.

    Raises `BitstreamError` for more bytes than the number needs, or more than eight.
    """
    value = 0
    for count, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count:
                raise BitstreamError("a number takes more bytes than it needs")
            return value, at + count + 1
    if at + MAX_VARINT_BYTES <= len(data):
        raise BitstreamError("a number does not end")
    return None
