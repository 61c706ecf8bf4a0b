"""CRC-32C, by the check value of its catalogue entry and by its bits."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1.checksum import check_crc, crc_of
from model_core.errors import BitstreamError


def bitwise(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_check_value() -> None:
    assert crc_of(b"123456789") == bytes.fromhex("e3069283")


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_it_is_the_polynomials_and_can_be_extended(first: bytes, second: bytes) -> None:
    assert int.from_bytes(crc_of(bytearray(first)), "big") == bitwise(first)
    assert crc_of(second, crc_of(first)) == crc_of(first + second)


def test_another_checksum_is_an_error() -> None:
    data = b"some bytes"
    assert check_crc(data[4:] + crc_of(data), "it", crc_of(data[:4])) == crc_of(data)
    assert check_crc(data + crc_of(data), "it") == crc_of(data)
    with pytest.raises(BitstreamError, match="it is damaged"):
        check_crc(data + bytes(4), "it")


def test_training_needs_no_checksum_library() -> None:
    """It imports version 0, on machines that hold torch and little else."""
    code = "import sys; sys.modules['google_crc32c'] = None; import model_core.ecdc"
    subprocess.run([sys.executable, "-c", code], check=True)
