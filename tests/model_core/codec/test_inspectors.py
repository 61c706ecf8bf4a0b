"""What a file is, found while it passes by. (`tests/service/api` holds the answers themselves.)"""

from pathlib import Path

import pytest

from model_core.codec.inspectors import inspector
from model_core.ecdc.v1 import Header, Writer
from model_core.errors import BitstreamError, TruncatedBitstreamError

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.mark.parametrize("version", [0, 1])
def test_an_inspector_takes_a_file_in_any_pieces(version: int) -> None:
    file = (VECTORS / f"v{version}-stereo.ecdc").read_bytes()
    whole = inspector(file).inspection(True)
    size = 100 if version else whole.header_bytes
    inspected = inspector(file[:size])
    for start in range(size, len(file), 7):
        inspected.feed(file[start : start + 7])
    assert inspected.inspection(True) == whole


def test_segments_of_no_loudness_are_counted_in_version_1() -> None:
    writer = Writer(Header("encodec_48khz", 2, 0, 1))
    file = writer.header()
    for samples, scale in ((48_000, 1.0), (48_000, 0.0), (960, 1e-8)):
        size = writer.layout.code_bytes(samples)[0]
        file += writer.chunk(samples, bytes(size), [scale])
    found = inspector(file + writer.finish()).inspection(True)
    assert found.intact
    assert (found.note or "").startswith("2 of 3 segments have a scale near zero")
    cut = inspector(file[:-1]).inspection(True)
    assert "; 1 of 2 segments have a scale near zero" in (cut.note or "")


def test_a_header_that_is_not_there_is_refused() -> None:
    for head, error in ((b"RIFF", BitstreamError), (b"ECDC\x01", TruncatedBitstreamError)):
        with pytest.raises(error):
            inspector(head)


def test_the_rate_of_a_damaged_file_is_that_of_what_comes_before_the_damage() -> None:
    writer = Writer(Header("encodec_24khz", 8, 0, 75))
    size = writer.layout.code_bytes(writer.layout.full)[0]
    chunks = [writer.chunk(writer.layout.full, bytes(size)) for _ in range(8)]
    file = bytearray(writer.header() + b"".join(chunks) + writer.finish())
    whole = inspector(bytes(file)).inspection(True)
    file[whole.header_bytes + 2 * len(chunks[0]) + 20] ^= 1  # of the third second
    found = inspector(bytes(file)).inspection(True)
    assert (found.intact, found.duration_seconds) == (False, 2)
    assert found.kbps == (whole.header_bytes + 2 * len(chunks[0])) * 8 / 2000
