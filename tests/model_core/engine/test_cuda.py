"""On a GPU the engine gives what it gives on a CPU but for near ties, alone as in company."""

import logging
import threading

import numpy as np
import pytest
import torch

from model_core.engine import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    FixedEngine,
    StreamState,
    TorchEngine,
    make_engine,
)
from model_core.model import EncodecModel
from tests.peers import NAMES, Peers, signal

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

_SECONDS = 2.3


def _items(model: EncodecModel, seed: int) -> list[EncodeItem]:
    """The blocks of a stream, or segments; the last one short."""
    config, state = model.config, StreamState()
    samples = round(_SECONDS * config.sample_rate)
    x = signal(config.channels, samples, config.sample_rate, seed=seed).numpy()
    starts = range(0, samples, config.block_samples)
    return [
        EncodeItem(
            x[:, start : start + config.block_samples],
            config.num_codebooks,
            start == starts[-1],
            state if config.causal else StreamState(),
        )
        for start in starts
    ]


def _encoded(engine: FixedEngine | TorchEngine, seeds: list[int]) -> list[list[EncodedBlock]]:
    """Streams side by side: for each its blocks."""
    streams = [_items(engine.model, seed) for seed in seeds]
    batches = [engine.encode(items) for items in zip(*streams, strict=True)]
    return [list(blocks) for blocks in zip(*batches, strict=True)]


def _decoded(
    engine: FixedEngine | TorchEngine, streams: list[list[EncodedBlock]]
) -> list[np.ndarray]:
    states = [StreamState() for _ in streams]
    parts = []
    for number, blocks in enumerate(zip(*streams, strict=True)):
        if not engine.config.causal:
            states = [StreamState() for _ in streams]
        last = number == len(streams[0]) - 1
        items = [DecodeItem(b, last, s) for b, s in zip(blocks, states, strict=True)]
        parts.append(engine.decode(items))
    return [np.concatenate(audio, axis=1) for audio in zip(*parts, strict=True)]


def _codes(blocks: list[EncodedBlock]) -> np.ndarray:
    return np.concatenate([block.codes for block in blocks], axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_captured_and_equal_to_the_cpu(
    peers: Peers, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = peers.pair(name).ours
    with caplog.at_level(logging.WARNING):
        gpu = make_engine(model, "cuda", EngineOptions(max_batch=4))
        gpu.prepare()
    assert not caplog.records  # every graph was captured
    assert isinstance(gpu, FixedEngine)
    cpu = TorchEngine(model)
    expected, given = _encoded(cpu, [0, 1, 2]), _encoded(gpu, [0, 1, 2])
    for ours, theirs in zip(given, expected, strict=True):
        assert (_codes(ours) == _codes(theirs)).all(axis=0).mean() > 0.97
        for a, b in zip(ours, theirs, strict=True):
            assert a.scale == (None if b.scale is None else pytest.approx(b.scale, rel=1e-5))
    heard = zip(_decoded(gpu, expected), _decoded(cpu, expected), strict=True)
    for audio, wanted in heard:
        assert np.abs(audio - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NAMES)
def test_company_rows_and_threads_change_no_bit(peers: Peers, name: str) -> None:
    gpu = FixedEngine(peers.pair(name).ours, "cuda", EngineOptions(max_batch=4))
    alone = [_encoded(gpu, [seed])[0] for seed in range(4)]
    heard = [_decoded(gpu, [blocks])[0] for blocks in alone]
    failures: list[BaseException] = []

    def again(order: list[int]) -> None:
        try:
            for _ in range(5):
                for seed, blocks in zip(order, _encoded(gpu, order), strict=True):
                    np.testing.assert_array_equal(_codes(blocks), _codes(alone[seed]))
                both = _decoded(gpu, [alone[seed] for seed in order])
                for seed, audio in zip(order, both, strict=True):
                    np.testing.assert_array_equal(audio, heard[seed])
        except BaseException as error:  # noqa: BLE001  raised again below
            failures.append(error)

    threads = [threading.Thread(target=again, args=(o,)) for o in ([0, 1, 2, 3], [3, 1], [2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("precision", "least"), [("tf32", 50), ("bfloat16", 35)])
def test_other_precisions_are_near(peers: Peers, name: str, precision: str, least: int) -> None:
    model = peers.pair(name).ours
    exact = FixedEngine(model, "cuda")
    rounded = make_engine(model, "cuda", EngineOptions(precision=precision))  # type: ignore[arg-type]
    assert isinstance(rounded, FixedEngine)
    blocks = _encoded(exact, [5])
    expected, audio = (_decoded(engine, blocks)[0] for engine in (exact, rounded))
    noise = np.square(audio - expected).mean() / np.square(expected).mean()
    assert 0 < noise < 10 ** (-least / 10)


def test_settings_of_the_process_are_put_back(peers: Peers) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    make_engine(
        peers.pair("encodec_24khz").ours, "cuda", EngineOptions(encode_precision="tf32")
    ).prepare()
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


def test_models_are_captured_while_others_run(
    peers: Peers, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a file of other weights comes while the service is busy."""
    model = peers.pair("encodec_24khz").ours
    busy = FixedEngine(model, "cuda", EngineOptions(max_batch=4))
    expected = _encoded(busy, [0, 1])
    found: list[bool] = []

    def run() -> None:
        for _ in range(20):
            streams = _encoded(busy, [0, 1])
            found.append(_bytes(streams) == _bytes(expected))

    def load() -> None:
        FixedEngine(model, "cuda", EngineOptions(max_batch=2)).prepare()

    threads = [threading.Thread(target=target) for target in (run, load, load)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 20
    assert not caplog.records  # every graph was captured


def _bytes(streams: list[list[EncodedBlock]]) -> list[list[bytes]]:
    return [[block.codes.tobytes() for block in blocks] for blocks in streams]
