"""Blocks that follow one another in a stream are rows of one batch: nothing else changes."""

import itertools
import random
from functools import cache

import numpy as np
import pytest
import torch

from model_core.engine import DecodeItem, EncodedBlock, EncodeItem, EngineOptions
from model_core.engine.cuda import CudaEngine
from model_core.errors import InvalidAudioError
from tests.model_core.engine.narrow import (
    decode_items,
    encode_items,
    narrow_model,
    streams_of,
)
from tests.peers import NAMES

_BOOKS = 8


def _engine(name: str, dtype: torch.dtype = torch.float32, rows: int = 4) -> CudaEngine:
    return CudaEngine(narrow_model(name, dtype), "cpu", EngineOptions(max_batch=rows))


def _dealt(queues: list[list[EncodeItem]], seed: int) -> list[list[tuple[int, EncodeItem]]]:
    """Calls of one to nine items, those of each stream in their order, any stream next."""
    draw = random.Random(seed)
    left = [list(queue) for queue in queues]
    calls = []
    while any(left):
        call = []
        for _ in range(draw.randint(1, 9)):
            ready = [number for number, queue in enumerate(left) if queue]
            if ready:
                stream = draw.choice(ready)
                call.append((stream, left[stream].pop(0)))
        calls.append(call)
    return calls


@cache
def _alone(name: str) -> tuple[CudaEngine, list[np.ndarray], list[list[EncodedBlock]]]:
    """An engine, several streams, and the blocks of each, encoded one at a time."""
    engine = _engine(name)
    rate = engine.config.sample_rate
    streams = streams_of(engine.model, [5 * rate + 321, rate, 2 * rate + 11, rate // 2, 3 * rate])
    blocks = [
        [engine.encode([item])[0] for item in encode_items(engine, stream, _BOOKS)]
        for stream in streams
    ]
    return engine, streams, blocks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_any_cut_company_and_order_give_the_same_bits(name: str, seed: int) -> None:
    engine, streams, alone = _alone(name)
    given: list[list[EncodedBlock]] = [[] for _ in streams]
    for call in _dealt([encode_items(engine, stream, _BOOKS) for stream in streams], seed):
        for (stream, _), block in zip(call, engine.encode([i for _, i in call]), strict=True):
            given[stream].append(block)
    for blocks, expected in zip(given, alone, strict=True):
        for block, one in zip(blocks, expected, strict=True):
            np.testing.assert_array_equal(block.codes, one.codes)
            assert block.scale == one.scale


@pytest.mark.parametrize("name", NAMES)
def test_company_changes_no_bit_of_the_audio(name: str) -> None:
    engine, _, alone = _alone(name)
    one_by_one = [
        [engine.decode([item])[0] for item in decode_items(engine, blocks)] for blocks in alone
    ]
    together = engine.decode(
        list(itertools.chain(*(decode_items(engine, blocks) for blocks in alone)))
    )
    for audio, same in zip(together, itertools.chain(*one_by_one), strict=True):
        np.testing.assert_array_equal(audio, same)


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_a_lone_stream_is_what_the_network_makes_of_the_whole(rows: int) -> None:
    """In float64, so that equality is equality; batches that are filled, cut and half empty."""
    engine = _engine("encodec_24khz", torch.float64, rows)
    stream = streams_of(engine.model, [7 * 24_000 + 4_567])[0]
    whole = engine.model.encode(torch.from_numpy(stream)[None].double())[0]
    count = engine.config.num_codebooks
    blocks = engine.encode(encode_items(engine, stream, count))
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    np.testing.assert_array_equal(codes, whole[0][0].numpy())
    audio = np.concatenate(engine.decode(decode_items(engine, blocks)), axis=1)
    expected = engine.model.decode([whole])[0].detach().numpy()
    assert np.abs(audio - expected).max() <= 1e-12 * np.abs(expected).max()


def test_a_short_block_that_is_not_the_last_is_refused() -> None:
    engine = _engine("encodec_24khz")
    stream = streams_of(engine.model, [48_000])[0]
    with pytest.raises(ValueError, match="full one"):
        engine.encode([EncodeItem(stream[:, :3200], _BOOKS, last=False)])


def test_what_is_no_block_and_no_batch_is_refused() -> None:
    engine = _engine("encodec_24khz")
    with pytest.raises(InvalidAudioError, match="samples"):
        engine.encode([EncodeItem(np.zeros(24_000, np.float32), _BOOKS, last=True)])
    with pytest.raises(ValueError, match="codes are"):
        engine.decode([DecodeItem(EncodedBlock(np.zeros(75, np.int64)), last=True)])
    for rows in (0, -1):
        with pytest.raises(ValueError, match="a row or more"):
            _engine("encodec_24khz", rows=rows)


def test_full_and_short_segments_share_a_batch_and_change_no_bit() -> None:
    """A batch of full segments looks at no lengths; one with a short segment does."""
    engine = _engine("encodec_48khz")
    full = streams_of(engine.model, [48_000, 48_000])
    short = streams_of(engine.model, [4_800])[0]
    items = [EncodeItem(stream, _BOOKS, last=True) for stream in (*full, short)]
    alone = engine.encode(items[:2])
    mixed = engine.encode(items)
    for one, other in zip(alone, mixed, strict=False):
        np.testing.assert_array_equal(one.codes, other.codes)
        assert one.scale == other.scale
    heard = engine.decode([item for block in mixed[:2] for item in decode_items(engine, [block])])
    again = engine.decode([item for block in mixed for item in decode_items(engine, [block])])
    for audio, same in zip(heard, again, strict=False):
        np.testing.assert_array_equal(audio, same)
