"""What the package decodes is what the native engine decodes with the same weights."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from model_core.codec import Codec
from model_core.ecdc.v1 import ChunkFile
from tests.clients.web.package_in_node import Package, PackageError
from tests.clients.web.rounded import decoded
from tests.service.live import Live
from tests.service.sounds import wav

CLOSE = 1e-5  # of full scale


@lru_cache(maxsize=64)
def compressed(server: Live, model: str, seconds: float, **parameters: Any) -> bytes:
    """A file of the service's, asked for once."""
    rate, channels = (24_000, 1) if model == "encodec_24khz" else (48_000, 2)
    with server.client() as client:
        answer = client.post(
            "/compress",
            params={"model": model, **parameters},
            content=wav(seconds, rate, channels, seed=3),
        )
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("format", [0, 1])
@pytest.mark.parametrize("seconds", [0.02, 0.9, 1.0, 3.33])
def test_mono_is_the_native_engine_s(
    package: Package, server: Live, mono: Codec, seconds: float, format: int
) -> None:
    data = compressed(server, "encodec_24khz", seconds, format=format)
    samples, answer = package.decode(data)
    assert samples.shape == (1, round(seconds * 24_000))
    assert answer["info"]["version"] == format
    np.testing.assert_allclose(samples, decoded(mono, data), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("format", [0, 1])
@pytest.mark.parametrize("seconds", [0.02, 0.995, 1.0, 2.7])
def test_stereo_is_the_native_engine_s(
    package: Package, server: Live, stereo: Codec, seconds: float, format: int
) -> None:
    data = compressed(server, "encodec_48khz", seconds, format=format)
    samples, _ = package.decode(data)
    assert samples.shape == (2, round(seconds * 48_000))
    np.testing.assert_allclose(samples, decoded(stereo, data), rtol=0, atol=CLOSE)


def test_a_file_with_the_exact_language_model_is_read(
    package: Package, server: Live, mono: Codec
) -> None:
    data = compressed(server, "encodec_24khz", 9.5, format=1, lm=True)
    samples, answer = package.decode(data)
    assert answer["info"]["lm"]
    np.testing.assert_allclose(samples, decoded(mono, data), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("piece", [1, 700])
@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
@pytest.mark.parametrize("format", [0, 1])
def test_bytes_that_arrive_give_the_same_samples(
    package: Package, server: Live, model: str, format: int, piece: int
) -> None:
    data = compressed(server, model, 2.4, format=format, bandwidth=3)
    whole, _ = package.decode(data)
    streamed, _ = package.decode(data, piece=piece)
    np.testing.assert_array_equal(streamed, whole)


def test_the_samples_of_a_stream_that_breaks_off_come_before_the_error(
    package: Package, server: Live
) -> None:
    data = compressed(server, "encodec_24khz", 3, format=1)
    with pytest.raises(PackageError, match="invalid_file"):
        package.decode(data[:-30], piece=500)


@pytest.mark.parametrize("start", [0, 24_000, 1_459_199, 1_460_001, 1_500_000])
def test_a_part_is_the_same_part_of_the_whole(
    package: Package, server: Live, mono: Codec, start: int
) -> None:
    data = compressed(server, "encodec_24khz", 66, format=1, bandwidth=1.5)
    end = start + 12_345
    part, answer = package.decode(data, start=start, end=end)
    assert (answer["begin"], answer["length"]) == (start, end - start)
    expected = decoded(mono, data, start, end)
    np.testing.assert_allclose(part, expected, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(part, decoded(mono, data)[:, start:end], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("format", [0, 1])
@pytest.mark.parametrize("start", [1, 47_519, 47_520, 100_000])
def test_a_part_of_segments_is_the_same_part_of_the_whole(
    package: Package, server: Live, start: int, format: int
) -> None:
    data = compressed(server, "encodec_48khz", 3, format=format)
    whole, _ = package.decode(data)
    part, _ = package.decode(data, start=start, end=start + 30_000)
    np.testing.assert_array_equal(part, whole[:, start : start + 30_000])


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.25), (1.00002, 1.7), (2, 9)])
def test_a_cut_has_the_samples_of_the_service_s(
    package: Package, server: Live, start: float, end: float
) -> None:
    data = compressed(server, "encodec_24khz", 3, format=1)
    with server.client() as client:
        parameters: dict[str, str | float] = {"start": start, "end": end, "output": "f32"}
        answer = client.post("/decompress", params=parameters, content=data)
    expected = np.frombuffer(answer.content, "<f4")
    first, last = round(start * 24_000), min(72_000, round(end * 24_000))
    part, _ = package.decode(data, start=first, end=last)
    assert part.shape == (1, len(expected))
    # The service has weights in float32 here.
    np.testing.assert_allclose(part[0], expected, rtol=0, atol=0.05 * np.abs(expected).max())


def test_a_quick_start_soon_sounds_as_the_whole(package: Package, server: Live) -> None:
    data = compressed(server, "encodec_24khz", 20, format=1)
    start = 12 * 24_000 + 7
    quick, answer = package.decode(data, start=start, quick=True)
    exact, _ = package.decode(data, start=start)
    assert answer["begin"] == start
    assert quick.shape == exact.shape
    np.testing.assert_allclose(quick, exact, rtol=0, atol=1e-3)


def test_version_0_with_a_language_model_is_refused_by_its_own_code(
    package: Package, server: Live
) -> None:
    data = compressed(server, "encodec_24khz", 1, format=0, lm=True)
    with pytest.raises(PackageError, match="lm_not_portable"):
        package.decode(data)


def test_weights_that_are_not_here_are_an_error_of_their_own(
    package: Package, server: Live
) -> None:
    data = compressed(server, "encodec_24khz", 1, format=0)
    at = data.index(b"encodec_24khz:") + len(b"encodec_24khz:")
    with pytest.raises(PackageError, match="weights_unavailable"):
        package.decode(data[:at] + b"00000000" + data[at + 8 :])


def test_damage_is_found(package: Package, server: Live) -> None:
    data = compressed(server, "encodec_24khz", 3, format=1)
    chunk = ChunkFile(io.BytesIO(data)).chunk(1)
    at = data.index(chunk.codes) + 5
    damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for piece in (0, 1000):
        with pytest.raises(PackageError, match="invalid_file"):
            package.decode(damaged, piece=piece)


@pytest.mark.parametrize("size", [0, 4, 8, 60, 200, 1000])
def test_a_file_cut_short_is_refused(package: Package, server: Live, size: int) -> None:
    for format in (0, 1):
        data = compressed(server, "encodec_24khz", 3, format=format)
        with pytest.raises(PackageError, match="invalid_file"):
            package.decode(data[:size])
