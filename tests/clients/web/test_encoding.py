"""What the package encodes has the native engine's codes, and files that all readers read."""

import asyncio
import io
from typing import Any

import numpy as np
import pytest

from model_core.codec import Codec, open_stored
from model_core.codec.chunked import ChunkCompressor
from model_core.codec.compressing import Compressor
from model_core.ecdc import v1
from model_core.engine import EncodedBlock
from tests.clients.web.package_in_node import Package, PackageError
from tests.service.sounds import sound


def codes_of(codec: Codec, data: bytes) -> list[EncodedBlock]:
    async def read() -> list[EncodedBlock]:
        return [block async for block in open_stored(io.BytesIO(data)).codes(codec)]

    return asyncio.run(read())


def native(codec: Codec, samples: np.ndarray, bandwidth: float, format: int) -> bytes:
    """The file that Python writes."""

    async def write() -> bytes:
        if format:
            chunks = ChunkCompressor(codec, bandwidth)
            return await chunks.push(samples) + await chunks.finish()
        plain = Compressor(codec, bandwidth)
        payload = await plain.push(samples) + await plain.finish()
        return plain.header.to_bytes() + payload

    return asyncio.run(write())


@pytest.mark.parametrize("format", [0, 1])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 2.53])
@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
def test_codes_are_the_native_engine_s(
    package: Package, mono: Codec, stereo: Codec, model: str, seconds: float, format: int
) -> None:
    codec = mono if model == "encodec_24khz" else stereo
    samples = sound(codec.config.channels, seconds, codec.config.sample_rate, seed=5)
    data = package.encode(samples, model, bandwidth=6, format=format)
    expected = native(codec, samples, 6, format)
    assert len(data) == len(expected)
    found, wanted = codes_of(codec, data), codes_of(codec, expected)
    assert len(found) == len(wanted)
    same = total = 0
    for block, other in zip(found, wanted, strict=True):
        assert block.codes.shape == other.codes.shape
        same += int((block.codes == other.codes).sum())
        total += block.codes.size
        if block.scale is not None:
            assert block.scale == pytest.approx(other.scale, rel=1e-6)
    assert same >= 0.995 * total  # near ties, and what follows from them in later codebooks


def test_pieces_make_the_same_file(package: Package) -> None:
    for model, channels in (("encodec_24khz", 1), ("encodec_48khz", 2)):
        samples = sound(channels, 2.2, 24_000 * channels, seed=6)
        whole = package.encode(samples, model)
        assert package.encode(samples, model, piece=7_001) == whole


def test_the_header_says_what_the_recording_was(package: Package) -> None:
    samples = sound(1, 1, 24_000)
    about: dict[str, Any] = {
        "originalRate": 44_100,
        "originalChannels": 2,
        "originalName": "É.flac",
    }
    tags = [["TITLE", "É\n"]]
    data = package.encode(samples, "encodec_24khz", originalSamples=44_100, tags=tags, **about)
    file = v1.ChunkFile(io.BytesIO(data))
    assert (file.header.rate, file.header.channels) == (44_100, 2)
    assert (file.header.name, file.header.tags) == ("É.flac", (("TITLE", "É\n"),))
    assert file.original_samples == 44_100
    assert v1.verify(io.BytesIO(data)).complete


def test_the_language_model_s_bytes_are_the_same_both_ways(package: Package, mono: Codec) -> None:
    assert mono.lm is not None
    exact = mono.lm.exact()
    rng = np.random.default_rng(8)
    for books, frames in ((2, 1), (8, 304), (32, 40)):
        codes = rng.integers(0, 1024, (books, frames))
        (data,) = exact.encode([codes])
        request = {"id": mono.lm.name, "books": books}
        made = package.ask("encodeLm", codes=codes.ravel().tolist(), **request)
        assert made["hex"] == data.hex()
        chunks = [{"hex": data.hex(), "frames": frames}] * 3
        read = package.ask("decodeLm", chunks=chunks, **request)
        assert read["codes"] == [codes.ravel().tolist()] * 3


def test_a_file_with_the_language_model_is_the_native_engine_s(
    package: Package, mono: Codec
) -> None:
    samples = sound(1, 5, 24_000, seed=9)
    coded = package.encode(samples, "encodec_24khz", lm=True)
    plain = package.encode(samples, "encodec_24khz")
    header = v1.ChunkFile(io.BytesIO(coded)).header
    assert (header.lm, header.chunk) == (1, 304)
    for one, other in zip(codes_of(mono, coded), codes_of(mono, plain), strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)


@pytest.mark.parametrize(
    "options",
    [{"bandwidth": 7}, {"format": 0, "lm": True}, {"tags": [["A", "b" * 70_000]]}],
    ids=["bandwidth", "format and lm", "tags"],
)
def test_what_cannot_be_is_refused(package: Package, options: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match="invalid_argument"):
        package.encode(sound(1, 1, 24_000), "encodec_24khz", **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e10])
def test_samples_that_cannot_be_are_refused(package: Package, value: float) -> None:
    samples = sound(1, 1, 24_000)
    samples[0, 77] = value
    with pytest.raises(PackageError, match="invalid_argument"):
        package.encode(samples, "encodec_24khz")


def test_no_samples_and_no_language_model_are_errors(package: Package) -> None:
    with pytest.raises(PackageError, match="invalid_argument"):
        package.encode(np.zeros((1, 0), np.float32), "encodec_24khz")
    with pytest.raises(PackageError, match="weights_unavailable"):
        package.encode(sound(2, 1, 48_000), "encodec_48khz", lm=True)
