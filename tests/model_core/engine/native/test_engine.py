"""The native backend: what it computes, and that nothing about its work changes a bit."""

import itertools
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch

from model_core.checkpoints.load import state_of, weights_of
from model_core.config import CONFIGS
from model_core.engine import (
    BEAMS,
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    NativeEngine,
    StreamState,
)
from model_core.engine.cuda import CudaEngine
from model_core.engine.native.engine import flat_weights
from model_core.engine.native.library import BUILDS, NativeLibrary, Spec, find_library
from model_core.engine.torch_engine import TorchEngine
from model_core.errors import EncodecError, InvalidAudioError
from model_core.model import EncodecModel
from model_core.nn.conv import fold_weight_norm
from tests.model_core.engine.narrow import narrow_model
from tests.peers import NAMES, Peers, signal

_FOUND = [build for build in BUILDS if find_library(build) is not None]

_FEW_SAMPLES = sorted(
    {*range(1, 14), 17, 33, 40, 41, 48, 79, 80, 81, 160, 161}
    | {320 * frames + more for frames in range(1, 9) for more in (-1, 0, 1)}
    | {400, 1081, 1559, 2239, 2402}
)
"""Around where the layers, the deepest first, have too few rows to reflect."""

pytestmark = pytest.mark.skipif(not _FOUND, reason="no C++ compiler when the package was installed")


@pytest.fixture(params=_FOUND)
def library(request: pytest.FixtureRequest) -> NativeLibrary:
    found = find_library(request.param)
    assert found is not None
    return found


@pytest.fixture
def best() -> NativeLibrary:
    found = find_library()
    assert found is not None
    return found


def _encode(engine: NativeEngine, x: np.ndarray, k: int, cuts: list[int]) -> np.ndarray:
    """A causal stream, cut before the samples of `cuts`."""
    state, edges = StreamState(), [0, *cuts, x.shape[1]]
    return np.concatenate(
        [
            engine.encode([EncodeItem(x[:, a:b], k, b == x.shape[1], state)])[0].codes
            for a, b in itertools.pairwise(edges)
        ],
        axis=1,
    )


def _decode(engine: NativeEngine, codes: np.ndarray, cuts: list[int]) -> np.ndarray:
    state, edges = StreamState(), [0, *cuts, codes.shape[1]]
    return np.concatenate(
        [
            engine.decode([DecodeItem(EncodedBlock(codes[:, a:b]), b == codes.shape[1], state)])[0]
            for a, b in itertools.pairwise(edges)
        ],
        axis=1,
    )


def _random_cuts(total: int, unit: int, seed: int) -> list[int]:
    """Multiples of `unit`, the first at least seven frames in."""
    rng = np.random.default_rng(seed)
    cuts, at = [], int(rng.integers(7, 120)) * unit
    while at < total:
        cuts.append(at)
        at += int(rng.integers(1, 120)) * unit
    return cuts


def _first_differences(codes: np.ndarray, expected: np.ndarray) -> int:
    """Of codes `[K, T]`: frames with another code somewhere. What follows it in its frame codes
    another remainder."""
    return int((codes != expected).any(axis=0).sum())


def _near_tie(model: EncodecModel, latent: torch.Tensor, codes: np.ndarray) -> None:
    """Hold every code of `[K, T]` to be, given those before it, within 1e-5 of the nearest."""
    residual = latent[0].T.double()
    for book, chosen in zip(model.quantizer.codebooks, torch.from_numpy(codes), strict=False):
        entries = book.codebook.embed.double()
        distances = torch.cdist(residual, entries).square()
        taken = distances.gather(1, chosen[:, None])[:, 0]
        scale = residual.square().sum(1) + entries[chosen].square().sum(1)
        assert (taken - distances.min(1).values <= 1e-5 * scale).all()
        residual = residual - entries[chosen]


@dataclass(frozen=True)
class _Computed:
    """What the networks make of a signal, the same for every build."""

    x: np.ndarray
    codes: np.ndarray
    scale: float | None
    latent: torch.Tensor
    audio: np.ndarray


@cache
def _computed(model: EncodecModel, length: int) -> _Computed:
    x = signal(model.config.channels, length, model.config.sample_rate, seed=length)
    (codes, scale), *_ = model.encode(x[None])
    with torch.no_grad():
        latent = model.encoder(x[None] if scale is None else x[None] / scale)
    audio = model.decode([(codes, scale)])[0].detach().numpy()
    scale_of_it = None if scale is None else float(scale[0])
    return _Computed(x.numpy(), codes[0].numpy(), scale_of_it, latent, audio)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 2240, 2600, 24_000, 47_841, 48_000])
def test_it_computes_what_the_networks_compute(
    peers: Peers, library: NativeLibrary, name: str, length: int
) -> None:
    model = peers.pair(name).ours
    expected = _computed(model, length)
    engine = NativeEngine(weights_of(model), library)
    count = model.config.num_codebooks
    block = engine.encode([EncodeItem(expected.x, count, last=True)])[0]
    most = max(1, 0.001 * expected.codes.size)
    assert _first_differences(block.codes, expected.codes) <= most
    item = EncodeItem(expected.x, count, last=True, latent=True)
    found = torch.from_numpy(engine.encode([item])[0].latent)[None]
    assert (found - expected.latent).abs().max() <= 1e-5 * expected.latent.abs().max()
    _near_tie(model, found, block.codes)
    assert block.scale == expected.scale
    coded = EncodedBlock(expected.codes, block.scale)
    audio = engine.decode([DecodeItem(coded, last=True)])[0]
    assert audio.shape == expected.audio.shape
    assert np.abs(audio - expected.audio).max() <= 1e-4 * np.abs(expected.audio).max()


def test_cuts_and_threads_change_no_bit(peers: Peers, library: NativeLibrary) -> None:
    model = peers.pair("encodec_24khz").ours
    one, three = (
        NativeEngine(weights_of(model), library),
        NativeEngine(weights_of(model), library, EngineOptions(threads=3)),
    )
    x = signal(1, 4 * 24_000 + 77, 24_000, seed=5).numpy()
    codes = _encode(one, x, 16, [])
    audio = _decode(one, codes, [])
    for seed, engine in ((1, one), (2, three), (3, three)):
        cuts = _random_cuts(x.shape[1], 320, seed) if seed < 3 else []
        np.testing.assert_array_equal(_encode(engine, x, 16, cuts), codes)
        np.testing.assert_array_equal(_decode(engine, codes, [c // 320 for c in cuts]), audio)


@pytest.mark.parametrize("name", NAMES)
def test_company_changes_no_bit(peers: Peers, library: NativeLibrary, name: str) -> None:
    """Streams of several lengths, in one call and alone; and in other threads."""
    model = peers.pair(name).ours
    config = model.config
    lengths = [config.sample_rate // 2] * 7 + [30_011, 2560, 400]
    waves = [
        signal(config.channels, length, config.sample_rate, seed=i).numpy()
        for i, length in enumerate(lengths)
    ]
    engine = NativeEngine(weights_of(model), library)
    alone = [engine.encode([EncodeItem(x, 4, last=True)])[0] for x in waves]
    heard = [engine.decode([DecodeItem(block, last=True)])[0] for block in alone]
    for threads in (1, 2):
        shared = NativeEngine(weights_of(model), library, EngineOptions(threads=threads))
        together = shared.encode([EncodeItem(x, 4, last=True) for x in waves])
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.codes, other.codes)
            assert one.scale == other.scale
        sounds = shared.decode([DecodeItem(block, last=True) for block in alone])
        for samples, sound in zip(heard, sounds, strict=True):
            np.testing.assert_array_equal(samples, sound)


def _error(model: EncodecModel, latent: torch.Tensor, codes: np.ndarray) -> float:
    return float((latent - model.quantizer.decode(torch.from_numpy(codes)[:, None])).square().sum())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("effort", [1, 2, 3])
def test_the_search_with_a_beam_is_that_of_the_network(
    peers: Peers, library: NativeLibrary, name: str, effort: int
) -> None:
    model = peers.pair(name).ours
    config = model.config
    engine = NativeEngine(weights_of(model), library)
    x = signal(config.channels, 20_000, config.sample_rate, seed=effort)
    normalised, _ = model.normalised(x[None])
    with torch.no_grad():
        latent = model.encoder(normalised)
    for books in (1, 2, 8):
        item = EncodeItem(x.numpy(), books, last=True, effort=effort)
        codes = engine.encode([item])[0].codes
        expected = model.quantizer.encode_with(latent, books, BEAMS[effort])[:, 0].numpy()
        assert _first_differences(codes, expected) <= max(1, 0.01 * codes.shape[1])
        assert _error(model, latent, codes) == pytest.approx(
            _error(model, latent, expected), rel=1e-3
        )


def test_company_cuts_and_threads_change_no_bit_with_a_beam(
    peers: Peers, library: NativeLibrary
) -> None:
    """Other efforts and numbers of codebooks beside it and in the same stream."""
    model = peers.pair("encodec_24khz").ours
    x = signal(1, 3 * 24_000 + 77, 24_000, seed=5).numpy()
    one = NativeEngine(weights_of(model), library)
    wanted = [(4, 1), (4, 3), (8, 1), (8, 0)]
    alone = [
        one.encode([EncodeItem(x, books, True, effort=effort)])[0].codes for books, effort in wanted
    ]
    assert (alone[0] != alone[1]).any()
    assert (alone[0] != alone[2][:4]).any()
    for threads in (1, 2):
        engine = NativeEngine(weights_of(model), library, EngineOptions(threads=threads))
        streams = [
            [
                EncodeItem(x[:, a:b], books, b == x.shape[1], state, effort)
                for a, b in itertools.pairwise([0, 6400, 24_000, 70_400, x.shape[1]])
            ]
            for (books, effort), state in ((settings, StreamState()) for settings in wanted)
        ]
        blocks = engine.encode([item for items in zip(*streams, strict=True) for item in items])
        for number, codes in enumerate(alone):
            found = np.concatenate([block.codes for block in blocks[number :: len(wanted)]], axis=1)
            np.testing.assert_array_equal(found, codes)
        mixed = [
            EncodeItem(x[:, a:b], books, b == x.shape[1], state, effort)
            for state in [StreamState()]
            for (a, b), (books, effort) in zip(
                itertools.pairwise([0, 24_000, 48_000, 70_400, x.shape[1]]), wanted, strict=True
            )
        ]
        places = np.split(np.arange(alone[0].shape[1]), [75, 150, 220])
        for block, codes, frames in zip(engine.encode(mixed), alone, places, strict=True):
            np.testing.assert_array_equal(block.codes, codes[:, frames])


@pytest.mark.parametrize("name", NAMES)
def test_a_latent_in_place_of_codes_is_that_of_the_network(
    peers: Peers, library: NativeLibrary, name: str
) -> None:
    """From every backend; its nearest entries are the codes."""
    model = peers.pair(name).ours
    x = signal(model.config.channels, 20_000, model.config.sample_rate, seed=3)
    normalised, _ = model.normalised(x[None])
    with torch.no_grad():
        expected = model.encoder(normalised)[0].numpy()
    for engine in (
        NativeEngine(weights_of(model), library),
        TorchEngine(model),
        CudaEngine(model, "cpu", EngineOptions(max_batch=2)),
    ):
        items = [EncodeItem(x.numpy(), 4, True, latent=latent) for latent in (True, False)]
        found, coded = engine.encode(items)
        assert found.latent is not None
        assert (found.codes.shape, found.frames) == ((0, coded.frames), expected.shape[1])
        assert found.scale == coded.scale
        np.testing.assert_allclose(found.latent, expected, rtol=0, atol=2e-3 * expected.std())
        entries = engine.codebooks()
        np.testing.assert_array_equal(entries, model.quantizer.entries())
        distances = np.square(found.latent.T[:, None] - entries[0]).sum(axis=2)
        assert (distances.argmin(axis=1) != coded.codes[0]).mean() <= 0.02


def test_latents_of_blocks_are_those_of_the_whole(peers: Peers, library: NativeLibrary) -> None:
    """Beside codes in the same stream, on any number of threads."""
    model = peers.pair("encodec_24khz").ours
    x = signal(1, 3 * 24_000 + 77, 24_000, seed=5).numpy()
    cuts = list(itertools.pairwise([0, 24_000, 48_000, 70_400, x.shape[1]]))
    whole = NativeEngine(weights_of(model), library).encode([EncodeItem(x, 1, True, latent=True)])
    assert whole[0].latent is not None
    for threads, coded in ((1, 1), (2, 2), (2, 4)):
        engine = NativeEngine(weights_of(model), library, EngineOptions(threads=threads))
        state = StreamState()
        items = [
            EncodeItem(x[:, a:b], 4, b == x.shape[1], state, latent=number != coded)
            for number, (a, b) in enumerate(cuts)
        ]
        for number, ((a, _), block) in enumerate(zip(cuts, engine.encode(items), strict=True)):
            expected = whole[0].latent[:, a // 320 : a // 320 + block.frames]
            if number == coded:
                assert block.latent is None
            else:
                np.testing.assert_array_equal(block.latent, expected)


def test_what_is_not_finite_still_has_codes(best: NativeLibrary) -> None:
    """Samples that overflow the network."""
    engine = NativeEngine(weights_of(narrow("encodec_24khz", 4)), best)
    x = np.full((1, 4000), 3e38, np.float32)
    codes = engine.encode([EncodeItem(x, 4, True, effort=1)])[0].codes
    assert ((codes >= 0) & (codes < 1024)).all()


def test_a_scale_is_not_below_the_least(peers: Peers, best: NativeLibrary) -> None:
    model = peers.pair("encodec_48khz").ours
    x = signal(2, 20_000, 48_000, seed=1).numpy()
    x[1] = -x[0]
    engines = (
        NativeEngine(weights_of(model), best),
        TorchEngine(model),
        CudaEngine(model, "cpu", EngineOptions(max_batch=2)),
    )
    for engine in engines:
        items = [EncodeItem(x, 2, True, least_scale=least) for least in (0.0, 0.1)]
        cancelled, bounded = engine.encode(items)
        assert cancelled.scale == pytest.approx(1e-8)
        assert bounded.scale == np.float32(0.1)
        assert (bounded.codes != cancelled.codes).any()


@pytest.mark.parametrize("effort", [-1, 4])
def test_an_effort_that_there_is_not_is_refused(best: NativeLibrary, effort: int) -> None:
    engine = NativeEngine(weights_of(narrow("encodec_24khz", 4)), best)
    with pytest.raises((ValueError, IndexError)):
        engine.encode([EncodeItem(np.zeros((1, 3200), np.float32), 2, True, effort=effort)])


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_of_one_stream_follow_each_other_in_a_call(
    peers: Peers, best: NativeLibrary, threads: int
) -> None:
    """Beside another stream's, each with as many codebooks as it wants."""
    model = peers.pair("encodec_24khz").ours
    engine = NativeEngine(weights_of(model), best, EngineOptions(threads=threads))
    x = signal(1, 2 * 24_000 + 500, 24_000, seed=3).numpy()
    codes = _encode(engine, x, 16, [])
    audio = _decode(engine, codes, [])
    state, other = StreamState(), signal(1, 9000, 24_000, seed=4).numpy()
    alone = engine.encode([EncodeItem(other, 4, last=True)])[0].codes
    parts = [x[:, :24_000], x[:, 24_000:48_000], x[:, 48_000:]]
    blocks = engine.encode(
        [
            EncodeItem(parts[0], 16, False, state),
            EncodeItem(other, 4, True),
            EncodeItem(parts[1], 8, False, state),
            EncodeItem(parts[2], 16, True, state),
        ]
    )
    np.testing.assert_array_equal(blocks.pop(1).codes, alone)
    np.testing.assert_array_equal(blocks[1].codes, codes[:8, 75:150])
    np.testing.assert_array_equal(
        np.concatenate([blocks[0].codes, blocks[2].codes], axis=1),
        np.delete(codes, np.s_[75:150], 1),
    )
    state = StreamState()
    cuts = np.split(codes, [75, 150], axis=1)
    heard = engine.decode([DecodeItem(EncodedBlock(c), n == 2, state) for n, c in enumerate(cuts)])
    np.testing.assert_array_equal(np.concatenate(heard, axis=1), audio)


def narrow(name: str, filters: int) -> EncodecModel:
    torch.manual_seed(filters)
    model = EncodecModel(CONFIGS[name].with_filters(filters)).eval()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("weight_g"):
            parameter.data *= 1.8  # or the signal dies from layer to layer
    for book in model.quantizer.codebooks:
        torch.nn.init.normal_(book.codebook.embed, std=0.1)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_any_length(library: NativeLibrary, name: str) -> None:
    """Each alone is what the networks compute, and the same bits in company and other threads."""
    model = narrow(name, 4)
    config = model.config
    alone, shared = (
        NativeEngine(weights_of(model), library),
        NativeEngine(weights_of(model), library, EngineOptions(threads=2)),
    )
    long = signal(config.channels, 30_000, config.sample_rate, seed=0)
    waves = [signal(config.channels, n, config.sample_rate, seed=n) for n in _FEW_SAMPLES]
    blocks = [alone.encode([EncodeItem(x.numpy(), 8, last=True)])[0] for x in waves]
    heard = [alone.decode([DecodeItem(block, last=True)])[0] for block in blocks]
    for x, block, audio in zip(waves, blocks, heard, strict=True):
        with torch.no_grad():
            normalised, scale = model.normalised(x[None])
            latent = model.encoder(normalised)
            expected = model.decode([(torch.from_numpy(block.codes)[None], scale)])[0].numpy()
        assert block.codes.shape == (8, latent.shape[-1])
        assert block.scale == (None if scale is None else float(scale[0]))
        _near_tie(model, latent, block.codes)
        assert audio.shape == expected.shape
        assert np.abs(audio - expected).max() <= 1e-5 * np.abs(expected).max()
    assert len({code for block in blocks for code in block.codes.flat}) > 100  # nothing has died
    together = shared.encode([EncodeItem(x.numpy(), 8, last=True) for x in [long, *waves]])
    for block, other in zip(blocks, together[1:], strict=True):
        np.testing.assert_array_equal(other.codes, block.codes)
        assert other.scale == block.scale
    sounds = shared.decode([DecodeItem(block, last=True) for block in together])
    for audio, sound in zip(heard, sounds[1:], strict=True):
        np.testing.assert_array_equal(sound, audio)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_has_no_first_frames_is_refused(best: NativeLibrary, threads: int) -> None:
    """Items of nothing, and a stream that goes on but has not enough to be reflected before it."""
    engine = NativeEngine(
        weights_of(narrow("encodec_24khz", 2)), best, EngineOptions(threads=threads)
    )
    for samples in (0, 320, 1920):
        error = EncodecError if samples else InvalidAudioError
        with pytest.raises(error):
            engine.encode([EncodeItem(np.zeros((1, samples), np.float32), 2, last=not samples)])
        codes = np.zeros((2, samples // 320), np.int64)
        with pytest.raises(error):
            engine.decode([DecodeItem(EncodedBlock(codes), last=not samples)])
    state = StreamState()
    engine.encode([EncodeItem(np.zeros((1, 2240), np.float32), 2, False, state)])
    assert not state.is_new
    assert engine.encode([]) == engine.decode([]) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("filters", [2, 6, 16])
def test_other_widths(library: NativeLibrary, name: str, filters: int) -> None:
    """Rows that do not fill a vector, or some vectors and a part of one."""
    model = narrow(name, filters)
    config = model.config
    x = signal(config.channels, 36_001, config.sample_rate, seed=2)
    engine = NativeEngine(weights_of(model), library)
    (whole, scale), *_ = model.encode(x[None])
    item = EncodeItem(x.numpy(), config.num_codebooks, last=True)
    codes = engine.encode([item])[0].codes
    assert _first_differences(codes, whole[0].numpy()) <= max(1, 0.001 * whole.numel())
    expected = model.decode([(whole, scale)])[0].detach().numpy()
    block = EncodedBlock(whole[0].numpy(), None if scale is None else float(scale[0]))
    audio = engine.decode([DecodeItem(block, last=True)])[0]
    assert np.abs(audio - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_failed_batch_leaves_the_streams_where_they_were(
    peers: Peers, best: NativeLibrary
) -> None:
    engine = NativeEngine(weights_of(peers.pair("encodec_24khz").ours), best)
    x = signal(1, 60_000, 24_000, seed=11).numpy()
    codes = _encode(engine, x, 4, [])
    state = StreamState()
    first = engine.decode([DecodeItem(EncodedBlock(codes[:, :75]), False, state)])[0]
    second = DecodeItem(EncodedBlock(codes[:, 75:]), True, state)
    broken = DecodeItem(EncodedBlock(codes + 1024), last=True)
    with pytest.raises(IndexError):
        engine.decode([second, broken])
    again = np.concatenate([first, engine.decode([second])[0]], axis=1)
    np.testing.assert_array_equal(again, _decode(engine, codes, []))


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_there_once(name: str) -> None:
    model = narrow_model(name)
    fold_weight_norm(model)
    state = state_of(model)
    flat = flat_weights(model.config, state)
    used = [v.ravel() for k, v in state.items() if not k.endswith(("inited", "_size", "_avg"))]
    np.testing.assert_array_equal(np.sort(flat), np.sort(np.concatenate(used)))


def test_weights_of_another_size_are_refused(peers: Peers, best: NativeLibrary) -> None:
    model = peers.pair("encodec_24khz").ours
    weights = flat_weights(model.config, state_of(model))
    spec = Spec(model.config)
    for wrong in (weights[:-1], np.append(weights, weights[:1])):
        with pytest.raises(EncodecError, match="the weights are"):
            best.model(spec, wrong)


def test_the_peak_is_that_of_a_processor(library: NativeLibrary) -> None:
    """More than a scalar loop, less than any core that there is."""
    assert 1e8 < library.peak(1) < 1e12


def test_weights_that_are_no_numbers_are_refused(peers: Peers, best: NativeLibrary) -> None:
    """The functions of the networks would make plausible noise of them."""
    model = peers.pair("encodec_24khz").ours
    weights = flat_weights(model.config, state_of(model))
    for wrong in (np.nan, np.inf):
        weights[-1] = wrong
        with pytest.raises(EncodecError, match="not all finite"):
            best.model(Spec(model.config), weights)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_model_does_not_have_is_refused(
    peers: Peers, best: NativeLibrary, name: str
) -> None:
    model = peers.pair(name).ours
    config = model.config
    for engine in (NativeEngine(weights_of(model), best), CudaEngine(model, "cpu")):
        for channels, books, kind in (
            (3 - config.channels, 2, InvalidAudioError),
            (config.channels, config.num_codebooks + 1, ValueError),
            (config.channels, 0, ValueError),
        ):
            x = np.zeros((channels, config.hop_length * 10), np.float32)
            with pytest.raises(kind):
                engine.encode([EncodeItem(x, books, last=True)])
        codes = np.zeros((config.num_codebooks + 1, 10), np.int64)
        with pytest.raises(ValueError, match="codebooks"):
            engine.decode([DecodeItem(EncodedBlock(codes, 1.0), last=True)])
        if config.causal:
            x = np.zeros((config.channels, config.hop_length * 10 + 1), np.float32)
            with pytest.raises(ValueError, match="whole frames"):
                engine.encode([EncodeItem(x, 2, last=False)])


def test_threads_of_torch_change_no_scale(best: NativeLibrary) -> None:
    engine = NativeEngine(weights_of(narrow("encodec_48khz", 2)), best)
    waves = [signal(2, 48_000, 48_000, seed=seed).numpy() for seed in range(30)]
    items = [EncodeItem(wave, 2, last=True) for wave in waves]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = [block.scale for block in engine.encode(items)]
        torch.set_num_threads(4)
        assert [block.scale for block in engine.encode(items)] == one
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


_FEW_THREADS = """
import resource
import numpy as np
from model_core.checkpoints.load import weights_of
from model_core.engine import EncodeItem, EngineOptions, make_engine
from model_core.errors import EncodecError
from tests.model_core.engine.native.test_engine import narrow

weights = weights_of(narrow("encodec_24khz", 2))
engine = make_engine(weights, options=EngineOptions("native", threads=64))
samples = np.sin(np.arange(24_000 * 200, dtype=np.float32))[None]
wanted = engine.encode([EncodeItem(samples, 2, last=True)], 1)[0].codes
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 40 * 2**20,) * 2)
try:
    found = engine.encode([EncodeItem(samples, 2, last=True)])[0].codes
    assert np.array_equal(found, wanted)
    print("done")
except (EncodecError, MemoryError):
    pass
"""


def test_a_system_without_threads_does_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", _FEW_THREADS], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
