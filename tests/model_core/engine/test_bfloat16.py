"""Decoding in bfloat16: how near it is to float32, and what it leaves as it is."""

from typing import cast

import numpy as np
import pytest
import torch

from model_core.checkpoints.load import weights_of
from model_core.codec.codec_cache import codec_of
from model_core.config import CONFIGS
from model_core.engine import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    NativeEngine,
    Precision,
    StreamState,
    make_engine,
)
from model_core.engine.native.library import BUILDS, NativeLibrary, find_library
from model_core.errors import EncodecError
from model_core.model import EncodecModel, load_model
from tests.peers import NAMES, Peers, signal

_FOUND = [found for found in map(find_library, BUILDS) if found is not None]
_ABLE = [library for library in _FOUND if library.has_bfloat16]
_UNABLE = [library for library in _FOUND if not library.has_bfloat16]

able = pytest.mark.skipif(not _ABLE, reason="no AVX512-BF16, or no compiler that knows it")


@pytest.fixture
def library() -> NativeLibrary:
    return _ABLE[0]


def _model(weights: str, name: str, peers: Peers) -> EncodecModel:
    if weights == "seeded":
        return peers.pair(name).ours
    return load_model(name, "bundled")


def _encoded(engine: NativeEngine, seconds: float, codebooks: int, seed: int = 0) -> EncodedBlock:
    config = engine.config
    samples = round(seconds * config.sample_rate)
    x = signal(config.channels, samples, config.sample_rate, seed=seed).numpy()
    return engine.encode([EncodeItem(x, codebooks, last=True)])[0]


def _snr(audio: np.ndarray, expected: np.ndarray) -> float:
    """In dB."""
    noise = np.square(audio.astype(np.float64) - expected).sum()
    return float(10 * np.log10(np.square(expected.astype(np.float64)).sum() / noise))


@able
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", ["seeded", "bundled"])
def test_it_is_near_float32_and_the_codes_are_the_same(
    peers: Peers, library: NativeLibrary, name: str, weights: str
) -> None:
    model = _model(weights, name, peers)
    exact = NativeEngine(weights_of(model), library)
    rounded = NativeEngine(weights_of(model), library, EngineOptions(precision="bfloat16"))
    seconds = 3.3 if model.config.causal else 1.0
    for codebooks in (2, model.config.num_codebooks):
        block = _encoded(exact, seconds, codebooks)
        again = _encoded(rounded, seconds, codebooks)
        np.testing.assert_array_equal(again.codes, block.codes)
        assert again.scale == block.scale
        expected, audio = (e.decode([DecodeItem(block, True)])[0] for e in (exact, rounded))
        assert audio.shape == expected.shape
        assert not np.array_equal(audio, expected)  # or it is float32 by another name
        assert _snr(audio, expected) >= 35


@able
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("filters", [2, 6])
def test_other_widths(library: NativeLibrary, name: str, filters: int) -> None:
    """Windows of an odd number of places, and rows that do not fill a vector."""
    torch.manual_seed(filters)
    model = EncodecModel(CONFIGS[name].with_filters(filters)).eval()
    for book in model.quantizer.codebooks:
        torch.nn.init.normal_(book.codebook.embed, std=0.1)
    exact = NativeEngine(weights_of(model), library)
    rounded = NativeEngine(weights_of(model), library, EngineOptions(precision="bfloat16"))
    block = _encoded(exact, 0.75, 8)
    expected, audio = (e.decode([DecodeItem(block, True)])[0] for e in (exact, rounded))
    assert _snr(audio, expected) >= 30


@able
@pytest.mark.parametrize("name", NAMES)
def test_streams_of_a_few_frames_are_rounded_too(
    peers: Peers, library: NativeLibrary, name: str
) -> None:
    model = peers.pair(name).ours
    exact = NativeEngine(weights_of(model), library)
    rounded = NativeEngine(weights_of(model), library, EngineOptions(precision="bfloat16"))
    for frames in range(1, 9):
        block = _encoded(exact, frames * 320 / model.config.sample_rate, 4, seed=frames)
        expected, audio = (e.decode([DecodeItem(block, True)])[0] for e in (exact, rounded))
        assert not np.array_equal(audio, expected)
        assert _snr(audio, expected) >= 30


@able
def test_cuts_and_threads_change_no_bit(peers: Peers, library: NativeLibrary) -> None:
    model = peers.pair("encodec_24khz").ours
    one, three = (
        NativeEngine(
            weights_of(model), library, EngineOptions(threads=threads, precision="bfloat16")
        )
        for threads in (1, 3)
    )
    codes = _encoded(one, 5.2, 16).codes
    whole = one.decode([DecodeItem(EncodedBlock(codes), last=True)])[0]
    for engine, cuts in ((one, [8, 75, 76, 203]), (three, [11, 150, 371]), (three, [])):
        state, parts = StreamState(), np.split(codes, cuts, axis=1)
        heard = [
            engine.decode([DecodeItem(EncodedBlock(part), number == len(cuts), state)])[0]
            for number, part in enumerate(parts)
        ]
        np.testing.assert_array_equal(np.concatenate(heard, axis=1), whole)


@able
@pytest.mark.parametrize("name", NAMES)
def test_company_changes_no_bit(peers: Peers, library: NativeLibrary, name: str) -> None:
    model = peers.pair(name).ours
    engine = NativeEngine(weights_of(model), library, EngineOptions(precision="bfloat16"))
    lengths = (1, 0.6, 1, 1, 0.05, 1, 1, 1, 1)  # seconds
    blocks = [_encoded(engine, seconds, 4, seed=i) for i, seconds in enumerate(lengths)]
    alone = [engine.decode([DecodeItem(block, last=True)])[0] for block in blocks]
    for threads in (1, 2):
        shared = NativeEngine(
            weights_of(model), library, EngineOptions(threads=threads, precision="bfloat16")
        )
        together = shared.decode([DecodeItem(block, last=True) for block in blocks])
        for audio, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(audio, expected)


@able
def test_a_codec_passes_it_on(peers: Peers) -> None:
    codec = codec_of(
        peers.pair("encodec_24khz").ours,
        options=EngineOptions(backend="native", precision="bfloat16"),
    )
    assert isinstance(codec.engine, NativeEngine)
    assert codec.engine.precision == "bfloat16"
    codec.warm_up()


@pytest.mark.parametrize("library", _UNABLE, ids=lambda library: library.build)
def test_builds_without_it_refuse(peers: Peers, library: NativeLibrary) -> None:
    model = peers.pair("encodec_24khz").ours
    with pytest.raises(EncodecError, match="no bfloat16"):
        NativeEngine(weights_of(model), library, EngineOptions(precision="bfloat16"))
    with pytest.raises(EncodecError, match="bfloat16 does not work here"):
        make_engine(
            weights_of(model),
            options=EngineOptions(backend=f"native-{library.build}", precision="bfloat16"),
        )


def test_what_it_is_not_for(peers: Peers) -> None:
    with pytest.raises(EncodecError, match="bfloat16 does not work here"):
        make_engine(
            weights_of(peers.pair("encodec_24khz").ours),
            options=EngineOptions(backend="torch", precision="bfloat16"),
        )
    with pytest.raises(EncodecError, match="bfloat16 does not work here"):
        make_engine(
            weights_of(peers.pair("encodec_24khz", torch.float64).ours),
            options=EngineOptions(precision="bfloat16"),
        )
    with pytest.raises(EncodecError, match="no precision 'bf16'"):
        make_engine(
            weights_of(peers.pair("encodec_24khz").ours),
            options=EngineOptions(precision=cast(Precision, "bf16")),
        )
