"""The torch backend computes block by block what the networks compute on the whole audio."""

import numpy as np
import pytest
import torch

from model_core.engine import (
    BEAMS,
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    StreamState,
)
from model_core.engine.torch_engine import TorchEngine
from model_core.errors import EncodecError, InvalidAudioError
from tests.peers import Peers, signal

LENGTHS = (1, 320, 2239, 2240, 23_999, 24_000, 24_001, 24_321, 48_000, 60_123)


def _cut(total: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, total)) for start in range(0, total, block)]


def _encode_stream(engine: TorchEngine, x: np.ndarray, k: int) -> np.ndarray:
    state, codes = StreamState(), []
    cuts = _cut(x.shape[1], engine.block_samples)
    for start, stop in cuts:
        item = EncodeItem(x[:, start:stop], k, stop == x.shape[1], state)
        codes.append(engine.encode([item])[0].codes)
    return np.concatenate(codes, axis=1)


def _decode_stream(engine: TorchEngine, codes: np.ndarray) -> np.ndarray:
    state, audio = StreamState(), []
    for start, stop in _cut(codes.shape[1], engine.block_frames):
        block = EncodedBlock(codes[:, start:stop])
        audio.append(engine.decode([DecodeItem(block, stop == codes.shape[1], state)])[0])
    return np.concatenate(audio, axis=1)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_stream_of_blocks_is_the_whole_audio(peers: Peers, length: int) -> None:
    model = peers.pair("encodec_24khz", torch.float64).ours
    engine = TorchEngine(model)
    x = signal(1, length, 24_000, seed=length)
    whole = model.encode(x[None].double())[0][0]
    codes = _encode_stream(engine, x.numpy(), 32)
    np.testing.assert_array_equal(codes, whole[0].numpy())
    expected = model.decode([(whole, None)])[0].detach().numpy()
    audio = _decode_stream(engine, codes)
    assert audio.shape == expected.shape
    assert np.abs(audio - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("effort", [1, 3])
def test_a_beam_over_blocks_is_that_over_the_whole_audio(peers: Peers, effort: int) -> None:
    model = peers.pair("encodec_24khz", torch.float64).ours
    engine = TorchEngine(model)
    x = signal(1, 60_123, 24_000, seed=effort).numpy()
    whole = engine.encode([EncodeItem(x, 8, True, effort=effort)])[0].codes
    state = StreamState()
    blocks = engine.encode(
        [
            EncodeItem(x[:, start:stop], 8, stop == x.shape[1], state, effort)
            for start, stop in _cut(x.shape[1], engine.block_samples)
        ]
    )
    np.testing.assert_array_equal(np.concatenate([b.codes for b in blocks], axis=1), whole)
    latent = model.encoder(torch.from_numpy(x)[None].double())
    np.testing.assert_array_equal(
        model.quantizer.encode_with(latent, 8, BEAMS[effort])[:, 0].numpy(), whole
    )


def test_the_models_own_weights_stay_as_they_are(peers: Peers) -> None:
    """The engine folds the weight norm of a copy: a model in training is not disturbed."""
    model = peers.pair("encodec_24khz").ours
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    TorchEngine(model)
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_failed_batch_leaves_the_streams_where_they_were(peers: Peers) -> None:
    engine = TorchEngine(peers.pair("encodec_24khz").ours)
    x = signal(1, 60_000, 24_000, seed=11).numpy()
    expected = _encode_stream(engine, x, 4)
    state = StreamState()
    engine.encode([EncodeItem(x[:, :24_000], 4, False, state)])
    second = EncodeItem(x[:, 24_000:48_000], 4, False, state)
    broken = EncodeItem(np.zeros((1, 320), np.float32), 4, False)
    with pytest.raises(EncodecError, match="too short"):
        engine.encode([second, broken])
    codes = [engine.encode([second])[0].codes]
    codes.append(engine.encode([EncodeItem(x[:, 48_000:], 4, True, state)])[0].codes)
    np.testing.assert_array_equal(np.concatenate(codes, axis=1), expected[:, 75:])


def test_a_first_block_that_is_too_short_to_go_on_from_is_refused(peers: Peers) -> None:
    engine = TorchEngine(peers.pair("encodec_24khz").ours)
    for frames in range(1, 7):
        with pytest.raises(EncodecError, match="too short"):
            engine.encode([EncodeItem(np.ones((1, 320 * frames), np.float32), 8, last=False)])
        block = EncodedBlock(np.zeros((8, frames), np.int64))
        with pytest.raises(EncodecError, match="too short"):
            engine.decode([DecodeItem(block, last=False)])
    with pytest.raises(InvalidAudioError):
        engine.encode([EncodeItem(np.ones((1, 0), np.float32), 8, last=True)])


def test_calls_from_several_threads_take_one_torch_thread_each(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums then have one order, whatever torch is set to."""
    used = []
    monkeypatch.setattr(
        TorchEngine, "_encode", lambda self, item: used.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for shared in (True, False):
            engine = TorchEngine(
                peers.pair("encodec_24khz").ours, options=EngineOptions(shared=shared)
            )
            engine.encode([EncodeItem(np.zeros((1, 320), np.float32), 2, last=True)])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert used == [1, 3]
