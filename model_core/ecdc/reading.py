"""Reading from a stream whose `read` may return fewer bytes than requested."""

from typing import BinaryIO

from ..errors import TruncatedBitstreamError


def read_up_to(fo: BinaryIO, size: int) -> bytes:
    """`size` bytes, or all that remain if the stream ends before."""
    data = b""
    while len(data) < size and (more := fo.read(size - len(data))):
        data += more
    return data


def read_exactly(fo: BinaryIO, size: int) -> bytes:
    """`size` bytes. Raises `TruncatedBitstreamError` if the stream ends before."""
    data = read_up_to(fo, size)
    if len(data) < size:
        raise TruncatedBitstreamError(f"the stream ends {size - len(data)} bytes too early")
    return data
