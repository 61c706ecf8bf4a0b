"""`POST /inspect`: what an `.ecdc` file says about itself, and whether it is whole."""

import io

import httpx
import numpy as np
import pytest

from model_core.audio import pcm16, wav_header
from model_core.config import CONFIGS
from model_core.ecdc import read_header, segments
from tests.service.calls import MODELS, compressed, ecdc, meta, unpacked
from tests.service.sounds import sound, wav


@pytest.mark.parametrize("model", MODELS)
def test_a_file_is_described_by_its_header_and_size(client: httpx.Client, model: str) -> None:
    file = compressed(client, wav(2.5), model=model, bandwidth=12)
    config = CONFIGS[model]
    header = read_header(io.BytesIO(file))
    found = client.post("/inspect", content=file).json()
    start = len(header.to_bytes())
    assert found == {
        "version": 0,
        "model": model,
        "weights": header.model.partition(":")[2],
        "lm_weights": None,
        "weights_available": True,
        "duration_seconds": 2.5,
        "audio_length": round(2.5 * config.sample_rate),
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "codebooks": config.codebooks_for(12),
        "bandwidth_kbps": 12,
        "kbps": pytest.approx(len(file) * 8 / 2500),
        "lm": False,
        "frames": sum(codes.shape[1] for _, codes in unpacked(file)),
        "header_bytes": start,
        "payload_bytes": len(file) - start,
        "expected_payload_bytes": len(file) - start,
        "trailing_bytes": 0,
        "intact": True,
        "note": "the length fits; this version has no checksum that would show a change",
        "chunks": None,
        "original": None,
        "tags": None,
    }
    short = client.post("/inspect", content=file[:-1]).json()
    assert short["intact"] is False
    assert short["note"]
    longer = client.post("/inspect", content=file + b"abc").json()
    assert (longer["intact"], longer["trailing_bytes"]) == (True, 3)
    assert longer["kbps"] == pytest.approx(len(file) * 8 / 2500)
    decoded = client.post("/decompress", content=file + b"abc")
    assert decoded.headers["x-compressed-bytes"] == str(len(file))


@pytest.mark.parametrize("pieces", [1, 1000])
def test_segments_of_no_loudness_are_counted(client: httpx.Client, pieces: int) -> None:
    """Stereo in opposite phase, or silence, after a second of sound."""
    side = sound(1, 3, 48_000)
    both = np.concatenate([side, -side])
    both[1, :48_000] = both[0, :48_000]
    audio = wav_header(48_000, 2, both.shape[1]) + pcm16(both)
    file = compressed(client, audio, model="encodec_48khz")
    size = -(-len(file) // pieces)
    content = (file[i : i + size] for i in range(0, len(file), size))
    found = client.post("/inspect", content=content).json()
    assert found["intact"]
    assert "; 2 of 4 segments have a scale near zero" in found["note"]
    loud = compressed(client, audio, model="encodec_48khz", effort=1)
    assert "near zero" not in client.post("/inspect", content=loud).json()["note"]
    short = client.post("/inspect", content=file[:-40]).json()
    assert short["intact"] is False
    assert "1 of 3 segments" in short["note"]


def test_with_a_language_model_only_decoding_tells_whether_a_file_is_whole(
    client: httpx.Client,
) -> None:
    file = compressed(client, wav(1), lm=True)
    found = client.post("/inspect", content=file).json()
    assert found["lm"]
    assert found["intact"] is None
    assert found["expected_payload_bytes"] is None
    assert "decoded" in found["note"]
    assert len(found["lm_weights"]) == 8
    start = found["header_bytes"]
    assert client.post("/inspect", content=file[: start + 1]).json()["intact"] is False


def test_a_file_is_described_without_its_weights(client: httpx.Client) -> None:
    file = compressed(client, wav(1))
    name = read_header(io.BytesIO(file)).model
    other = file.replace(name.encode(), name[:-8].encode() + b"00000000")
    found = client.post("/inspect", content=other).json()
    assert found["weights"] == "00000000"
    assert found["weights_available"] is False
    assert found["intact"] is True
    answer = client.post("/decompress", content=other)
    assert answer.status_code == 409
    assert answer.json()["code"] == "weights_unavailable"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("samples", [1, 47_519, 47_520, 47_521, 95_040, 95_041, 1_000_000, 10**9])
def test_frames_are_counted_without_decoding(
    client: httpx.Client, model: str, samples: int
) -> None:
    """As many as the segments of that length have together."""
    config = CONFIGS[model]
    file = compressed(client, wav(0.1), model=model)
    found = client.post("/inspect", content=ecdc(meta(file, al=samples))).json()
    assert found["frames"] == sum(segment.frames for segment in segments(config, samples))
