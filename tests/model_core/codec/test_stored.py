"""What stored files say of the recording they were made of."""

import io

import pytest

from model_core.codec.stored import open_stored
from model_core.ecdc.v1 import Header, Writer

_FRAMES = 4
_CODES = bytes(_FRAMES * 2 * 10 // 8)


@pytest.mark.parametrize(
    ("recorded", "samples"),
    [
        (2_350, 2_350),  # what was recorded
        (2_352, 2_352),
        (0, 2_352),  # unknown
        (2_353, 2_352),  # more than there is
        (2_349, 2_352),  # fewer than resampling can have added: the header is wrong
        (1, 2_352),
    ],
)
def test_all_of_it_at_its_own_rate_has_as_many_samples_as_were_recorded(
    recorded: int, samples: int
) -> None:
    writer = Writer(Header("encodec_24khz:00000000", 2, 0, _FRAMES, rate=44_100, channels=1))
    data = writer.header() + writer.chunk(_FRAMES * 320, _CODES) + writer.finish(recorded)
    stored = open_stored(io.BytesIO(data))
    assert stored.samples_at(44_100, 24_000, 0, 1_280) == samples
    assert stored.samples_at(44_100, 24_000, 1, 1_280) == 2_351
    assert stored.samples_at(48_000, 24_000, 0, 1_280) == 2_560
