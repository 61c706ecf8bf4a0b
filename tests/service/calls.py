"""Calls that several tests make."""

import dataclasses
import io
import wave

import httpx
import numpy as np

from model_core.config import CONFIGS
from model_core.ecdc import parse_model_name, payload_bytes, read_header
from tests.service.live import Live
from tests.service.sounds import wav

MODELS = list(CONFIGS)


def compressed(client: httpx.Client, audio: bytes, **params: str | float) -> bytes:
    answer = client.post("/compress", content=audio, params=params)
    assert answer.status_code == 200, answer.text
    return answer.content


def long_file(server: Live, seconds: int, **params: str | float) -> bytes:
    """An `.ecdc` file of the first entries of the codebooks, which nothing had to encode."""
    with server.client() as client:
        header = read_header(io.BytesIO(compressed(client, wav(0.1), **params)))
    server.wait_until_idle()
    config = CONFIGS[parse_model_name(header.model).name]
    long = dataclasses.replace(header, audio_length=seconds * config.sample_rate)
    return long.to_bytes() + bytes(payload_bytes(config, long))


def samples_of(wav_bytes: bytes) -> np.ndarray:
    """`[n, C]` int16."""
    with wave.open(io.BytesIO(wav_bytes)) as file:
        assert file.getsampwidth() == 2
        frames = file.readframes(file.getnframes())
        return np.frombuffer(frames, "<i2").reshape(-1, file.getnchannels())
