"""Version 1 files whose codes are chosen by what they cost the language model."""

import io

import numpy as np
import pytest

from model_core.codec import (
    ChunkCompressor,
    ChunkDecompressor,
    Codec,
    Encoder,
    codec_cache,
    iterate_now,
    open_stored,
    run_now,
)
from model_core.codec import codec as codec_module
from model_core.ecdc.v1 import ChunkFile
from model_core.engine import BEAMS, Engine, EngineOptions, NetworkWeights
from model_core.engine.cuda import CudaEngine
from model_core.engine.torch_engine import TorchEngine
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import NAMES, signal

KBPS = 6.0


def sound(codec: Codec, seconds: float) -> np.ndarray:
    rate = codec.config.sample_rate
    x: np.ndarray = signal(codec.config.channels, round(seconds * rate), rate, seed=3).numpy()
    return x


def compressed(codec: Codec, x: np.ndarray, effort: int, step: int = 50_000) -> bytes:
    compressor = ChunkCompressor(codec, KBPS, lm=True, effort=effort, verify=True)
    data = b"".join(
        run_now(compressor.push(x[:, start : start + step])) for start in range(0, x.shape[1], step)
    )
    return data + run_now(compressor.finish())


def codes_in(codec: Codec, data: bytes) -> np.ndarray:
    blocks = open_stored(io.BytesIO(data)).codes(codec)
    return np.concatenate([block.codes for block in iterate_now(blocks)], axis=1)


def codes_of(codec: Codec, x: np.ndarray, effort: int) -> np.ndarray:
    """Without a language model."""
    encoder = Encoder(codec, codec.config.codebooks_for(KBPS), effort=effort)
    blocks = [*run_now(encoder.push(x)), *run_now(encoder.finish())]
    return np.concatenate([block.codes for block in blocks], axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_chosen_files_decode_and_are_smaller(name: str) -> None:
    codec = narrow_codec(name)
    x = sound(codec, 5.3)
    for effort in (2, 3):
        data = compressed(codec, x, effort)
        assert compressed(codec, x, effort, step=777) == data
        plain = codes_of(codec, x, effort)
        codes = codes_in(codec, data)
        assert codes.shape == plain.shape
        assert (codes != plain).any()
        blocks = ChunkDecompressor(codec, ChunkFile(io.BytesIO(data))).blocks()
        assert np.concatenate(list(iterate_now(blocks)), axis=1).shape == x.shape
        ideal = codec.require_lm().encode_chunks(np.array_split(plain, 5, axis=1))
        chosen = codec.require_lm().encode_chunks(np.array_split(codes, 5, axis=1))
        assert sum(map(len, chosen)) < sum(map(len, ideal))


@pytest.mark.parametrize("name", NAMES)
def test_below_effort_2_the_language_model_has_no_say(name: str) -> None:
    codec = narrow_codec(name)
    x = sound(codec, 2.1)
    for effort in (0, 1):
        data = compressed(codec, x, effort)
        np.testing.assert_array_equal(codes_in(codec, data), codes_of(codec, x, effort))


@pytest.mark.parametrize("name", NAMES)
def test_where_bits_cost_nothing_the_codes_are_those_of_the_beam(name: str) -> None:
    codec = narrow_codec(name)
    x = sound(codec, 3.0)
    books = codec.config.codebooks_for(KBPS)
    for effort in (2, 3):
        encoder = Encoder(codec, books, effort=effort, latents=True)
        latents = [
            block.content for block in (*run_now(encoder.push(x)), *run_now(encoder.finish()))
        ]
        found = codec.code_search().find(latents, books, BEAMS[effort], rate=0.0)
        np.testing.assert_array_equal(np.concatenate(found, axis=1), codes_of(codec, x, effort))


@pytest.mark.parametrize("name", NAMES)
def test_threads_choose_the_same(name: str) -> None:
    x = sound(narrow_codec(name), 9.3)
    assert compressed(narrow_codec(name, 2), x, 2) == compressed(narrow_codec(name), x, 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["torch", "cuda-on-host"])
def test_every_backend_chooses_alike(
    name: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for near ties, after which a chunk may go another way."""
    native = narrow_codec(name)
    x = sound(native, 2.2)
    expected = codes_in(native, compressed(native, x, 2))

    def engine(network: NetworkWeights, device: str, options: EngineOptions) -> Engine:
        if backend == "torch":
            return TorchEngine(network.network())
        return CudaEngine(network.network(), "cpu", EngineOptions(max_batch=2))

    monkeypatch.setattr(codec_module, "make_engine", engine)
    monkeypatch.setattr(codec_cache, "lm_build", lambda options: "torch")
    data = compressed(narrow_codec(name), x, 2)
    assert (codes_in(native, data) != expected).mean() < 0.05
