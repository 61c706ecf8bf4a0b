import io

import numpy as np
import pytest

from model_core.audio import RawFormat, open_audio, parse_content_type
from model_core.errors import InvalidAudioError
from tests.media import Pipe, tone


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("audio/L16; rate=44100; channels=2", RawFormat(44_100, 2)),
        ("audio/l16;RATE=8000", RawFormat(8_000, 1)),
        ('Audio/L16 ; rate="16000" ; channels="1"', RawFormat(16_000, 1)),
        ("audio/L24; rate=48000; channels=2", RawFormat(48_000, 2, 24)),
        ("audio/L16; rate=8000;", RawFormat(8_000)),
        ("audio/wav", None),
        ("audio/L160; rate=8000", None),
        ("", None),
    ],
)
def test_content_types(value: str, want: RawFormat | None) -> None:
    assert parse_content_type(value) == want


@pytest.mark.parametrize(
    "parameters",
    ["", "channels=2", "rate=", "rate=x", "rate=-8000", "rate=3999", "rate=768001", "rate=8000.5",
     "rate=8000; channels=0", "rate=8000; channels=65", "rate=8000; channels=two", "rate=²000",
     "rate=8000; endianness=little", "rate=8000; emphasis=50-15", "rate=8000; rate=9000",
     "rate*=utf-8''8000", "rate*0=8; rate*1=000", "rate=8000; channels*0*=utf-8''2", "rate",
     "=8000", 'rate="8000', "rate*=x"],
)  # fmt: skip
def test_wrong_parameters_are_typed_errors(parameters: str) -> None:
    with pytest.raises(InvalidAudioError):
        parse_content_type(f"audio/L16; {parameters}")


def test_big_endian_samples_are_read_whatever_the_pieces() -> None:
    samples = tone(1.1, 24_000, 2)
    values = np.rint(samples * 32767)
    data = values.T.astype(">i2").tobytes()
    for source in (io.BytesIO(data), Pipe(data, most=999)):
        got = list(open_audio(source, 24_000, 2, raw=RawFormat(24_000, 2)))
        assert [block.shape for block in got] == [(2, 24_000), (2, 2_400)]
        assert np.array_equal(np.concatenate(got, axis=1), values / np.float32(32768))


@pytest.mark.parametrize("kind", ["audio/L8", "audio/L20", "audio/pcm", "audio/basic"])
def test_other_headerless_audio_is_not_taken_for_a_container(kind: str) -> None:
    with pytest.raises(InvalidAudioError, match="audio/L16 or audio/L24"):
        parse_content_type(f"{kind}; rate=8000")


def test_samples_of_24_bits() -> None:
    values = np.array([[0, 1, -1, 2**23 - 1, -(2**23)]], np.int32)
    data = b"".join(int(value).to_bytes(3, "big", signed=True) for value in values[0])
    for source in (io.BytesIO(data), Pipe(data, most=2)):
        got = list(open_audio(source, 24_000, 1, raw=RawFormat(24_000, 1, 24)))
        assert np.array_equal(np.concatenate(got, axis=1), values / np.float32(2**23))


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0", bytes(4 * 1000 + 2)])
def test_incomplete_samples_are_told(data: bytes) -> None:
    with pytest.raises(InvalidAudioError):
        list(open_audio(io.BytesIO(data), 24_000, 2, raw=RawFormat(24_000, 2)))
