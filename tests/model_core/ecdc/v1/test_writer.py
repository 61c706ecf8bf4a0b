"""The writer: what comes next and nothing else; and what the container costs."""

import pytest

from model_core.config import CONFIGS
from model_core.ecdc import Header as Version0
from model_core.ecdc import payload_bytes
from model_core.ecdc.v1 import Header, Writer, default_chunk
from tests.model_core.ecdc.v1.files import MONO, STEREO, example

HEADER = Header(MONO, 2, 0, 4)


def test_the_next_chunk_begins_where_the_last_one_ends() -> None:
    writer = Writer(HEADER)
    assert writer.header() == HEADER.to_bytes()
    for number in range(3):
        assert writer.next_start == 1280 * number
        writer.chunk(1280, bytes(10))


def test_no_chunk_follows_the_end_of_the_audio() -> None:
    writer = Writer(HEADER)
    writer.chunk(5, bytes(3))
    with pytest.raises(ValueError, match="follows the end"):
        writer.chunk(5, bytes(3))
    writer.finish()


def test_a_file_without_audio_cannot_be_finished() -> None:
    with pytest.raises(ValueError, match="no chunk"):
        Writer(HEADER).finish()


@pytest.mark.parametrize("samples", [-1, 2**53])
def test_the_originals_length_has_bounds(samples: int) -> None:
    writer = Writer(HEADER)
    writer.chunk(5, bytes(3))
    with pytest.raises(ValueError, match="of the original"):
        writer.finish(samples)


@pytest.mark.parametrize("seconds", [8, 10, 60, 600])
@pytest.mark.parametrize(("model", "codebooks"), [(MONO, 8), (STEREO, 4)])
def test_at_6_kbps_a_file_is_at_most_1_5_percent_longer_than_version_0(
    model: str, codebooks: int, seconds: int
) -> None:
    config = CONFIGS[model]
    name, samples = f"{model}:1a2b3c4d", seconds * config.sample_rate
    before = Version0(name, samples, codebooks, False)
    old = len(before.to_bytes()) + payload_bytes(config, before)
    new = len(example(Header(name, codebooks, 0, default_chunk(config)), samples).data)
    assert new < 1.015 * old


def test_a_chunk_costs_at_most_11_bytes() -> None:
    """Ten hours of chunks."""
    writer = Writer(Header(MONO, 8, 0, 76))
    codes = bytes(760)
    sizes = [len(writer.chunk(writer.layout.full, codes)) for _ in range(36_000)]
    assert max(sizes) == 760 + 10
    assert len(writer.finish()) < 50
