"""Requests that several tests make, and what they expect of the answers."""

import dataclasses
import io
import json
import struct
import wave
from typing import Any

import httpx
import numpy as np

from model_core.config import CONFIGS
from model_core.ecdc import (
    BitUnpacker,
    parse_model_name,
    payload_bytes,
    read_header,
    read_scale,
    segments,
)
from tests.service.live import Live
from tests.service.sounds import wav

MODELS = list(CONFIGS)


def compressed(client: httpx.Client, audio: bytes, **params: str | float) -> bytes:
    """The `.ecdc` file that the service makes of `audio`."""
    answer = client.post("/compress", content=audio, params=params)
    assert answer.status_code == 200, answer.text
    return answer.content


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be one with this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"].endswith(code)
    assert problem["title"]
    assert problem["detail"]
    return problem


def ecdc(meta: object, payload: bytes = b"", version: int = 0, size: int | None = None) -> bytes:
    """An `.ecdc` file with any metadata; `size` is the length the file says they have."""
    data = json.dumps(meta).encode()
    length = len(data) if size is None else size
    return struct.pack("!4sBI", b"ECDC", version, length) + data + payload


def meta(file: bytes, **changes: object) -> dict[str, object]:
    """The metadata of an `.ecdc` file, with some of them changed."""
    header = read_header(io.BytesIO(file))
    found = {"m": header.model, "al": header.audio_length, "nc": header.num_codebooks, "lm": False}
    return found | changes


def long_file(server: Live, seconds: int, **params: str | float) -> bytes:
    """An `.ecdc` file of that length with the code 0 throughout, so nothing was encoded for it."""
    with server.client() as client:
        header = read_header(io.BytesIO(compressed(client, wav(0.1), **params)))
    server.wait_until_idle()
    config = CONFIGS[parse_model_name(header.model).name]
    long = dataclasses.replace(header, audio_length=seconds * config.sample_rate)
    return long.to_bytes() + bytes(payload_bytes(config, long))


def samples_of(wav_bytes: bytes) -> np.ndarray:
    """The samples of a 16-bit WAV file, `[n, C]` int16."""
    with wave.open(io.BytesIO(wav_bytes)) as file:
        assert file.getsampwidth() == 2
        frames = file.readframes(file.getnframes())
        return np.frombuffer(frames, "<i2").reshape(-1, file.getnchannels())


def unpacked(file: bytes) -> list[tuple[float | None, np.ndarray]]:
    """The scale and the codes `[K, T]` of each segment of an `.ecdc` file that no LM coded."""
    fo = io.BytesIO(file)
    header = read_header(fo)
    config = CONFIGS[header.model.partition(":")[0]]
    found = []
    for segment in segments(config, header.audio_length):
        scale = read_scale(fo) if config.normalize else None
        unpacker = BitUnpacker(config.bits_per_codebook)
        count = segment.frames * header.num_codebooks
        unpacker.feed(fo.read(unpacker.missing(count)))
        codes = unpacker.pull(count).reshape(segment.frames, header.num_codebooks).T
        found.append((scale, codes))
    assert not fo.read()
    return found
