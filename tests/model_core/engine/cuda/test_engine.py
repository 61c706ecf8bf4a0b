"""The engine of fixed shapes: what `nn` computes, for streams of any length in any company."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from model_core.engine import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    StreamState,
)
from model_core.engine.cuda import CudaEngine
from model_core.errors import InvalidAudioError
from tests.model_core.engine.narrow import narrow_model, streams_of
from tests.peers import NAMES, Peers

_HOP = 320
_SHORT = (1, 2, 3, 5, 6, 7, 8, 13, 31, 38, 41, 100, *(_HOP * n + d for n in (1, 2, 5, 6, 7, 8, 20)
          for d in (-1, 0, 1, 7)))  # fmt: skip


def _encoded(
    engine: CudaEngine, streams: Sequence[np.ndarray], codebooks: Sequence[int]
) -> list[EncodedBlock]:
    """All of them side by side; one scale at most is kept."""
    states = [StreamState() for _ in streams]
    done: list[list[EncodedBlock]] = [[] for _ in streams]
    block = engine.block_samples
    for start in range(0, max(x.shape[1] for x in streams), block):
        going = [i for i, x in enumerate(streams) if x.shape[1] > start]
        items = [
            EncodeItem(
                streams[i][:, start : start + block],
                codebooks[i],
                streams[i].shape[1] <= start + block,
                states[i],
            )
            for i in going
        ]
        for i, result in zip(going, engine.encode(items), strict=True):
            done[i].append(result)
    return [
        EncodedBlock(np.concatenate([b.codes for b in blocks], axis=1), blocks[0].scale)
        for blocks in done
    ]


def _decoded(engine: CudaEngine, streams: Sequence[EncodedBlock]) -> list[np.ndarray]:
    states = [StreamState() for _ in streams]
    done: list[list[np.ndarray]] = [[] for _ in streams]
    block = engine.block_frames
    for start in range(0, max(x.codes.shape[1] for x in streams), block):
        going = [i for i, x in enumerate(streams) if x.codes.shape[1] > start]
        items = [
            DecodeItem(
                EncodedBlock(streams[i].codes[:, start : start + block], streams[i].scale),
                streams[i].codes.shape[1] <= start + block,
                states[i],
            )
            for i in going
        ]
        for i, audio in zip(going, engine.decode(items), strict=True):
            done[i].append(audio)
    return [np.concatenate(parts, axis=1) for parts in done]


@pytest.mark.parametrize("name", NAMES)
def test_every_length_is_what_the_networks_make_of_the_whole(name: str) -> None:
    """In float64, so that equality is equality."""
    exact = narrow_model(name, torch.float64)
    engine = CudaEngine(exact, "cpu", EngineOptions(max_batch=8))
    rate = exact.config.sample_rate
    most = rate if exact.segment_length else 3 * rate
    ends = (rate - 1, rate, rate + 1, rate + _HOP, rate + _HOP + 1, 2 * rate, 2 * rate + 777)
    lengths = sorted([*_SHORT, *(n for n in ends if n <= most)])
    for first in range(0, len(lengths), 8):
        streams = streams_of(exact, lengths[first : first + 8])
        frames = [exact.encode(torch.from_numpy(x)[None].double())[0] for x in streams]
        count = exact.config.num_codebooks
        encoded = _encoded(engine, streams, [count] * len(streams))
        for result, (codes, scale) in zip(encoded, frames, strict=True):
            np.testing.assert_array_equal(result.codes, codes[0].numpy())
            assert (result.scale is None) == (scale is None)
            if scale is not None:
                assert result.scale == pytest.approx(float(scale), rel=1e-12)
        for audio, frame in zip(_decoded(engine, encoded), frames, strict=True):
            expected = exact.decode([frame])[0].detach().numpy()
            assert audio.shape == expected.shape
            assert np.abs(audio - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_company_and_rows_change_no_bit(name: str) -> None:
    """Streams that begin, go on and end in one batch get what they get alone, in any row."""
    engine = CudaEngine(narrow_model(name, torch.float32), "cpu", EngineOptions(max_batch=4))
    rate = engine.config.sample_rate
    most = 1 if engine.config.segment else 3
    lengths = [min(n, most * rate) for n in (3 * rate, rate, 2 * rate + 11, rate - 5000)]
    streams = streams_of(engine.model, lengths)
    alone = [_encoded(engine, [x], [8])[0] for x in streams]
    heard = [_decoded(engine, [block])[0] for block in alone]
    for order in ([0, 1, 2, 3], [2, 3, 0], [1, 0]):
        together = _encoded(engine, [streams[i] for i in order], [4 + i % 2 * 4 for i in order])
        for i, block in zip(order, together, strict=True):
            np.testing.assert_array_equal(block.codes, alone[i].codes[: 4 + i % 2 * 4])
            assert block.scale == alone[i].scale
        both = _decoded(engine, [alone[i] for i in order])
        for i, audio in zip(order, both, strict=True):
            np.testing.assert_array_equal(audio, heard[i])


@pytest.mark.parametrize("name", NAMES)
def test_other_efforts_beside_it_change_no_bit(name: str) -> None:
    """And other numbers of codebooks; in several streams and in one."""
    engine = CudaEngine(narrow_model(name, torch.float32), "cpu", EngineOptions(max_batch=4))
    rate = engine.config.sample_rate
    x, other = streams_of(engine.model, [rate, rate - 5000])
    wanted = [(8, 1), (8, 0), (4, 1), (2, 3)]
    alone = [engine.encode([EncodeItem(x, k, True, effort=effort)])[0] for k, effort in wanted]
    items = [EncodeItem(x, k, True, effort=effort) for k, effort in wanted]
    items.insert(1, EncodeItem(other, 8, True, effort=3))
    found = engine.encode(items)
    for block, expected in zip([found[0], *found[2:]], alone, strict=True):
        np.testing.assert_array_equal(block.codes, expected.codes)
        assert block.scale == expected.scale
    assert (alone[0].codes != alone[1].codes).any()
    assert (alone[0].codes[:4] != alone[2].codes).any()


def test_a_stream_may_change_its_effort_in_a_call() -> None:
    engine = CudaEngine(
        narrow_model("encodec_24khz", torch.float32), "cpu", EngineOptions(max_batch=2)
    )
    (x,) = streams_of(engine.model, [4 * 24_000])
    seconds = np.split(x, 4, axis=1)
    efforts = [1, 1, 0, 1]
    results = []
    for sizes in ([4], [1, 1, 1, 1]):
        state = StreamState()
        items = iter(
            EncodeItem(second, 4, n == 3, state, effort)
            for n, (second, effort) in enumerate(zip(seconds, efforts, strict=True))
        )
        blocks = [b for size in sizes for b in engine.encode([next(items) for _ in range(size)])]
        results.append(np.concatenate([block.codes for block in blocks], axis=1))
    np.testing.assert_array_equal(results[0], results[1])


def test_blocks_of_one_stream_follow_each_other_in_a_call() -> None:
    engine = CudaEngine(
        narrow_model("encodec_24khz", torch.float32), "cpu", EngineOptions(max_batch=2)
    )
    x, other = streams_of(engine.model, [50_000, 24_000])
    expected = [_encoded(engine, [stream], [4])[0].codes for stream in (x, other)]
    state = StreamState()
    blocks = engine.encode(
        [
            EncodeItem(x[:, :24_000], 4, False, state),
            EncodeItem(x[:, 24_000:48_000], 4, False, state),
            EncodeItem(other, 4, True),
            EncodeItem(x[:, 48_000:], 4, True, state),
        ]
    )
    np.testing.assert_array_equal(blocks.pop(2).codes, expected[1])
    np.testing.assert_array_equal(np.concatenate([b.codes for b in blocks], axis=1), expected[0])
    whole = _decoded(engine, [EncodedBlock(expected[0])])[0]
    state = StreamState()
    heard = engine.decode([DecodeItem(b, b is blocks[-1], state) for b in blocks])
    np.testing.assert_array_equal(np.concatenate(heard, axis=1), whole)


def test_what_a_batch_leaves_is_not_heard_in_the_next(peers: Peers) -> None:
    """Rows and codebooks that are unused hold what was there before."""
    engine = CudaEngine(peers.pair("encodec_24khz").ours, "cpu", EngineOptions(max_batch=2))
    few, many = (
        EncodedBlock(np.random.default_rng(seed).integers(0, 1024, (books, frames)))
        for seed, books, frames in ((1, 2, 30), (2, 32, 75))
    )
    first = engine.decode([DecodeItem(few, True)])[0]
    engine.decode([DecodeItem(many, True), DecodeItem(many, True)])
    np.testing.assert_array_equal(engine.decode([DecodeItem(few, True)])[0], first)


def test_a_failed_batch_leaves_the_streams_where_they_were(peers: Peers) -> None:
    engine = CudaEngine(peers.pair("encodec_24khz").ours, "cpu", EngineOptions(max_batch=2))
    x = streams_of(engine.model, [48_000])[0]
    expected = _encoded(engine, [x], [4])[0].codes
    state = StreamState()
    engine.encode([EncodeItem(x[:, :24_000], 4, False, state)])
    second = EncodeItem(x[:, 24_000:], 4, True, state)
    for size in (0, 24_001):
        with pytest.raises(InvalidAudioError, match="1 to 24000 samples"):
            engine.encode([second, EncodeItem(np.zeros((1, size), np.float32), 4, True)])
    np.testing.assert_array_equal(engine.encode([second])[0].codes, expected[:, 75:])


@pytest.mark.parametrize(
    ("codes", "error"), [(np.full((2, 5), 1024), IndexError), (np.full((2, 5), -1), IndexError),
                         (np.zeros((2, 0), int), ValueError), (np.zeros((2, 76), int), ValueError)],
)  # fmt: skip
def test_codes_that_are_none(peers: Peers, codes: np.ndarray, error: type[Exception]) -> None:
    """On a GPU an index out of range would end the process's use of the device."""
    engine = CudaEngine(peers.pair("encodec_24khz").ours, "cpu", EngineOptions(max_batch=2))
    with pytest.raises(error):
        engine.decode([DecodeItem(EncodedBlock(codes), True)])
