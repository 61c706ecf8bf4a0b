"""Files read forwards, and verified."""

import io

import pytest

from model_core.ecdc.v1 import Parser, Summary, read_chunks, read_whole_chunks, verify
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.ecdc.v1.files import forwards, small

FILE = small()


def test_a_file_that_cannot_seek() -> None:
    parser = Parser()
    assert list(read_chunks(forwards(FILE.data), parser)) == FILE.chunks
    assert parser.complete


def test_verifying_says_what_is_there() -> None:
    assert verify(forwards(FILE.data)) == Summary(FILE.header, 3, 3000, 0, True)
    assert verify(io.BytesIO(FILE.open)) == Summary(FILE.header, 3, 3000, 0, False)
    assert verify(io.BytesIO(FILE.pieces[0])) == Summary(FILE.header, 0, 0, 0, False)


def test_whole_chunks_of_a_file_cut_anywhere() -> None:
    for size in range(FILE.bounds[0], len(FILE.data)):
        chunks = list(read_whole_chunks(forwards(FILE.data[:size]), Parser()))
        assert chunks == FILE.chunks[: sum(end <= size for end in FILE.bounds[1:])]


def test_a_cut_and_a_changed_file_are_errors() -> None:
    with pytest.raises(TruncatedBitstreamError):
        verify(io.BytesIO(FILE.data[:-1]))
    with pytest.raises(TruncatedBitstreamError):
        verify(io.BytesIO(b""))
    changed = FILE.data[:-30] + b"\0" + FILE.data[-29:]
    with pytest.raises(BitstreamError):
        verify(io.BytesIO(changed))
