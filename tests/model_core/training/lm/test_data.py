"""Sequences are those that the coder will ask about."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.codec import Codec
from model_core.engine import EngineOptions
from model_core.errors import SettingsError, WeightsError
from model_core.model import load_model
from model_core.training.data.cache import AudioCache
from model_core.training.lm.codes import CodeStreams, streams_of
from model_core.training.lm.data import LMSampler
from model_core.training.lm.settings import LMTrainingConfig
from tests.model_core.training.lm.fixtures import small_cache, small_weights

STREAMS = CodeStreams(
    np.arange(4 * 90, dtype=np.int16).reshape(4, 90), np.array([0, 50, 60, 90]), ("x",) * 3
)
BANDWIDTHS = {1.5: (2, 1.0), 3.0: (4, 1.0)}


def _sampler(frames: int, rank: int = 0) -> LMSampler:
    return LMSampler(STREAMS, frames, BANDWIDTHS, max_offset=1000, seed=5, rank=rank)


@pytest.mark.parametrize("name", ["encodec_24khz", "encodec_48khz"])
def test_streams_are_what_the_coder_codes(name: str, tmp_path: Path) -> None:
    codec = Codec.load(
        name, str(small_weights(name, tmp_path / "w")), options=EngineOptions(max_batch=2)
    )
    cache = AudioCache(small_cache(name, tmp_path / "cache"))
    streams = streams_of(codec, cache, "train", tmp_path / "codes")
    x = cache.read(cache.recordings[0], 0, cache.recordings[0].length)
    with torch.inference_mode():
        model = load_model(name, str(tmp_path / "w"))
        expected = [codes[0].numpy() for codes, _ in model.encode(x[None])]
    assert len(np.unique(expected[0])) > 50
    for index, codes in enumerate(expected):
        assert streams.stream(index).shape == codes.shape
        assert (streams.stream(index) != codes).mean() < 0.02  # sums in another order
    again = streams_of(codec, cache, "train", tmp_path / "codes")
    np.testing.assert_array_equal(again.codes, streams.codes)
    assert len(list((tmp_path / "codes").iterdir())) == 1
    other = streams_of(codec, cache, "train", tmp_path / "codes", number=1)
    both = CodeStreams.join([streams, other])
    assert not np.array_equal(other.codes[:, :60], streams.codes[:, :60])
    np.testing.assert_array_equal(both.stream(len(streams.lengths)), other.stream(0))
    next((tmp_path / "codes").glob("train-0-*")).write_bytes(b"PK")
    with pytest.raises(WeightsError, match="train-0-"):
        streams_of(codec, cache, "train", tmp_path / "codes")


def test_a_cache_made_of_other_files_is_coded_anew(tmp_path: Path) -> None:
    """Though they have the names and lengths of those before."""
    name = "encodec_24khz"
    codec = Codec.load(name, str(small_weights(name, tmp_path / "w")))
    folder = small_cache(name, tmp_path / "cache")
    entries = json.loads((folder / "index.json").read_text())
    samples = np.load(folder / "audio.npy")
    found = []
    for origin, audio in (("1", samples), ("2", samples[:, ::-1])):
        np.save(folder / "audio.npy", audio)
        index = {"sample_rate": 24_000, "origin": origin, "recordings": entries}
        (folder / "index.json").write_text(json.dumps(index))
        found.append(streams_of(codec, AudioCache(folder), "valid", tmp_path / "codes").codes)
    assert not np.array_equal(found[0], found[1])


def test_inputs_are_the_frames_before() -> None:
    sampler = _sampler(frames=20)
    beginnings = 0
    for step in range(20):
        batch = sampler.batch(step, 8)
        codebooks = BANDWIDTHS[batch.bandwidth][0]
        assert batch.targets.shape == (8, codebooks, 20)
        for inputs, targets, offset in zip(batch.inputs, batch.targets, batch.offsets, strict=True):
            count = int((targets[0] >= 0).sum())
            assert torch.equal(inputs[:, 1:count], targets[:, : count - 1] + 1)
            first = int(targets[0, 0])
            starts_stream = first in STREAMS.starts
            assert (int(offset) == 0) == starts_stream
            assert int(inputs[0, 0]) == (0 if starts_stream else first)
            beginnings += starts_stream
    assert 20 < beginnings < 140


def test_a_batch_follows_from_seed_rank_and_step() -> None:
    one, other = _sampler(20).batch(7, 4), _sampler(20, rank=1).batch(7, 4)
    assert torch.equal(one.inputs, _sampler(20).batch(7, 4).inputs)
    assert one.bandwidth == other.bandwidth
    assert not torch.equal(one.targets, other.targets)
    assert {_sampler(20).batch(step, 1).bandwidth for step in range(20)} == {1.5, 3.0}


def test_short_streams_come_in_greater_number() -> None:
    batch = _sampler(frames=150).batch(0, 2)
    assert (batch.offsets == 0).all()
    assert (len(batch.inputs), batch.inputs.shape[2]) == (6, 50)
    assert (batch.targets == -1).any()


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 100}, {"bandwidths": {"7": 1.0}}, {"bandwidths": {"6": 0.0}}, {"dropout": 1.0}],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        LMTrainingConfig(**wrong)  # type: ignore[arg-type]
