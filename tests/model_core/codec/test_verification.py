"""`verify`: what the language model coded is decoded again before a byte leaves."""

import io

import numpy as np
import pytest

from model_core.codec import (
    ChunkCompressor,
    Codec,
    Compressor,
    LanguageModel,
    iterate_now,
    open_stored,
    run_now,
    transcode,
)
from model_core.codec.entropy import LMDecoder
from model_core.errors import BitstreamError, VerificationError
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import NAMES, signal

COMPRESSORS = pytest.mark.parametrize("compressor", [Compressor, ChunkCompressor])
Made = type[Compressor] | type[ChunkCompressor]


def sound(codec: Codec) -> np.ndarray:
    rate = codec.config.sample_rate
    x: np.ndarray = signal(codec.config.channels, round(1.7 * rate), rate, seed=3).numpy()
    return x


def coded(compressor: Made, codec: Codec, verify: bool) -> bytes:
    made = compressor(codec, 3.0, True, verify=verify)
    x = sound(codec)
    return (
        run_now(made.push(x[:, :30_000]))
        + run_now(made.push(x[:, 30_000:]))
        + run_now(made.finish())
    )


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that decodes one code wrong."""
    chunks, frames = LanguageModel.decode_chunks, LMDecoder.decode

    def changed(codes: np.ndarray) -> np.ndarray:
        codes = codes.copy()
        codes[-1, -1] ^= 1
        return codes

    monkeypatch.setattr(LanguageModel, "decode_chunks", lambda *a: [*map(changed, chunks(*a))])
    monkeypatch.setattr(LMDecoder, "decode", lambda *a: changed(frames(*a)))


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot decode."""

    def refuse(*_: object) -> None:
        raise BitstreamError("between two symbols")

    monkeypatch.setattr(LanguageModel, "decode_chunks", refuse)
    monkeypatch.setattr(LMDecoder, "decode", refuse)


@COMPRESSORS
@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_the_same(name: str, compressor: Made) -> None:
    codec = narrow_codec(name)
    assert coded(compressor, codec, verify=True) == coded(compressor, codec, verify=False)


@COMPRESSORS
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("machine", ["faulty", "refusing"])
def test_what_does_not_decode_is_an_error(
    name: str, compressor: Made, machine: str, request: pytest.FixtureRequest
) -> None:
    codec = narrow_codec(name)
    request.getfixturevalue(machine)
    assert coded(compressor, codec, verify=False)
    with pytest.raises(VerificationError):
        coded(compressor, codec, verify=True)


@COMPRESSORS
def test_no_code_leaves_before_it_is_verified(compressor: Made) -> None:
    """Half a chunk of version 1; a version 0 file without segments leaves at its end."""
    codec = narrow_codec("encodec_24khz")
    made = compressor(codec, 3.0, True, verify=True)
    first = run_now(made.push(sound(codec)))
    assert first == (made.header.to_bytes() if isinstance(made, ChunkCompressor) else b"")


@pytest.mark.parametrize("version", [0, 1])
def test_transcoding_verifies_too(version: int, request: pytest.FixtureRequest) -> None:
    codec = narrow_codec("encodec_24khz")
    plain = ChunkCompressor(codec, 3.0)
    file = io.BytesIO(run_now(plain.push(sound(codec))) + run_now(plain.finish()))

    def transcoded(verify: bool) -> bytes:
        made = transcode(codec, open_stored(file), version, 4, lm=True, verify=verify)
        return b"".join(iterate_now(made))

    assert transcoded(verify=True) == transcoded(verify=False)
    request.getfixturevalue("faulty")
    with pytest.raises(VerificationError):
        transcoded(verify=True)
