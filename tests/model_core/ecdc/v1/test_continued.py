"""Files continued after their full chunks."""

import io

import pytest

from model_core.ecdc.v1 import Header, continue_file
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.ecdc.v1.files import MONO, STEREO, Example, example

FILES = {
    "mono": example(Header(MONO, 2, 0, 4), 7000),
    "stereo": example(Header(STEREO, 2, 0, 1), 142_600),  # the last two of three are cut
    "coded": example(Header(MONO, 2, 1, 4), 7000),
}
each_file = pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())


def continued(file: Example, size: int) -> bytes:
    """Its first `size` bytes, continued with the chunks that are then missing."""
    fo = io.BytesIO(file.data[:size])
    writer = continue_file(fo)
    assert fo.tell() == len(fo.getvalue())
    for chunk in file.chunks[writer.next_start // writer.layout.stride :]:
        fo.write(writer.chunk(chunk.samples, chunk.codes, chunk.scales))
    fo.write(writer.finish())
    return fo.getvalue()


@each_file
def test_a_file_cut_anywhere_becomes_whole(file: Example) -> None:
    cuts = [*file.bounds, len(file.data), *range(file.bounds[0], len(file.data), 37)]
    assert all(continued(file, size) == file.data for size in cuts)


def test_nothing_changes_where_the_file_is_damaged() -> None:
    file = FILES["mono"]
    data = bytearray(file.data)
    data[file.bounds[1] + 5] ^= 1
    fo = io.BytesIO(data)
    with pytest.raises(BitstreamError):
        continue_file(fo)
    assert fo.getvalue() == data
    with pytest.raises(TruncatedBitstreamError):
        continue_file(io.BytesIO(data[:20]))
