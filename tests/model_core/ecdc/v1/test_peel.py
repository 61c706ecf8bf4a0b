"""Files with fewer codebooks, by cutting."""

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1 import Header, drop_codebooks, unpack_codes, verify
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.ecdc.v1.files import MONO, STEREO, example, parsed


def dropped(data: bytes, keep: int) -> bytes:
    return b"".join(drop_codebooks(io.BytesIO(data), keep))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.sampled_from([MONO, STEREO]), st.integers(1, 7), st.integers(1, 150_000))
def test_the_first_codebooks_stay_as_they_are(model: str, chunk: int, samples: int) -> None:
    header = Header(model, 8, 0, chunk, name="x.wav", gain=-3.5, tags=(("A", "b"),))
    file = example(header, samples, samples, 99)
    for keep in (2, 4, 8):
        data = dropped(file.data, keep)
        parser, chunks = parsed(data)
        assert parser.end()
        assert parser.header == replace(header, num_codebooks=keep)
        assert verify(io.BytesIO(data)).original_samples == 99
        for new, old in zip(chunks, file.chunks, strict=True):
            assert (new.start, new.samples, new.scales) == (old.start, old.samples, old.scales)
            frames = parser.layout.frames(old.samples)
            kept = unpack_codes(old.codes, 8, 10, frames)[:keep]
            assert (unpack_codes(new.codes, keep, 10, frames) == kept).all()
        assert (data == file.data) == (keep == 8)


def test_what_cannot_be_cut_is_an_error() -> None:
    file = example(Header(MONO, 4, 0, 4), 3000)
    with pytest.raises(ValueError, match="has 4 codebooks"):
        dropped(file.data, 8)
    with pytest.raises(BitstreamError, match="bandwidth"):
        dropped(file.data, 3)
    with pytest.raises(ValueError, match="language model"):
        dropped(example(Header(MONO, 4, 1, 4), 3000).data, 2)


def test_a_file_that_is_not_whole_is_an_error() -> None:
    file = example(Header(MONO, 4, 0, 4), 3000)
    for data in (file.open, file.data[:-1], file.pieces[0]):
        with pytest.raises(TruncatedBitstreamError):
            dropped(data, 2)
