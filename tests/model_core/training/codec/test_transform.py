"""A run that starts as a transform has the waveform from its first step, and learns on from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.functional import lowpass_biquad

from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from model_core.errors import SettingsError, TrainingDataError
from model_core.metrics import si_snr
from model_core.nn.conv import joined_weight, set_weight
from model_core.nn.network import EncodecNetwork
from model_core.training.codec.room import conv_of
from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.start import start
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.codec.transform import (
    FREE,
    TRANSFORM,
    graft_transform,
    lines_of,
    principal_components,
    start_as_transform,
)
from model_core.training.codec.widen import doubled
from model_core.training.data.cache import AudioCache
from model_core.training.optimizer import adam
from tests.model_core.training.codec.narrow import narrow

pytestmark = pytest.mark.usefixtures("one_thread")
RATE = ENCODEC_24KHZ.sample_rate
HOP = ENCODEC_24KHZ.hop_length
NARROW = ENCODEC_24KHZ.with_filters(8)
RUN = CodecSettings(
    n_filters=8, start_from=TRANSFORM, batch=2, clip_seconds=0.2, adversarial_weight=0.0
)


def rumble(seconds: float, seed: int) -> Tensor:
    """Noise below about 2 kHz, `[1, 1, T]`."""
    noise = torch.randn(1, 1, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
    for _ in range(4):
        noise = lowpass_biquad(noise, RATE, 2000.0)
    return 0.1 * noise / noise.std()


def cache_of(samples: np.ndarray, folder: Path) -> AudioCache:
    folder.mkdir()
    np.save(folder / "audio.npy", samples)
    half = samples.shape[1] // 2
    entries = [
        {"file": name, "category": "music", "split": name, "start": begin, "length": half}
        for name, begin in (("train", 0), ("valid", half))
    ]
    (folder / "index.json").write_text(json.dumps(entries))
    return AudioCache(folder, sample_rate=RATE)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> AudioCache:
    samples = (rumble(6, seed=1)[0].numpy() * 32767).astype(np.int16)
    return cache_of(samples, tmp_path_factory.mktemp("recordings") / "cache")


@torch.no_grad()
def distortion(model: EncodecNetwork, clip: Tensor) -> float:
    decoded = model.decoder(model.encoder(clip))[..., : clip.shape[-1]]
    return float(si_snr(clip, decoded))


@pytest.mark.parametrize("filters", [6, 8])
def test_recordings_like_those_come_back(filters: int, cache: AudioCache) -> None:
    torch.manual_seed(0)
    model = EncodecNetwork(ENCODEC_24KHZ.with_filters(filters))
    assert not start(model, None, cache)
    assert distortion(model, rumble(1.03, seed=2)) < 1
    assert not start(model, TRANSFORM, cache), "its codebooks are still to be fitted"
    assert distortion(model, rumble(1.03, seed=2)) > 20
    assert distortion(model, 0.01 * rumble(1.03, seed=2)) > 20, "quiet ones too"


def test_components_are_those_of_the_blocks(cache: AudioCache) -> None:
    components = principal_components(cache, HOP, 100)
    assert components.shape == (100, HOP)
    assert torch.allclose(components @ components.T, torch.eye(100), atol=1e-5)
    blocks = rumble(3, seed=3)[0, 0, : 200 * HOP].view(-1, HOP)
    left = blocks - blocks @ components.T @ components
    assert left.square().mean() < 1e-3 * blocks.square().mean()
    strengths = (blocks @ components.T).square().mean(dim=0)
    assert strengths[:10].min() > 3 * strengths[80:].max(), "the strongest first"


def test_all_of_the_network_can_learn(cache: AudioCache) -> None:
    torch.manual_seed(0)
    model = EncodecNetwork(NARROW)
    start_as_transform(model, cache)
    learning = [*model.encoder.parameters(), *model.decoder.parameters()]
    optimizer = adam(learning, 1e-3, (0.9, 0.999))
    clip = rumble(0.5, seed=4) + 0.02 * torch.randn(1, 1, RATE // 2)
    for _ in range(3):  # in the first ones, zeros hide what is behind them
        optimizer.zero_grad()
        (model.decoder(model.encoder(clip))[..., : clip.shape[-1]] - clip).abs().mean().backward()
        optimizer.step()
    for name, parameter in [*model.encoder.named_parameters(), *model.decoder.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_run_starts_with_it_and_goes_on(cache: AudioCache, tmp_path: Path) -> None:
    settings = replace(
        RUN,
        steps=4,
        learning_rate=1e-4,
        kmeans_frames=60,
        quantise_from=0.0,
        average_decay=0.0,
        evaluate_every=1000,
    )
    run = tmp_path / "run"
    trainer = CodecTrainer(settings, cache, run)
    assert distortion(trainer.model, rumble(1, seed=2)) > 20
    assert trainer.run()
    assert trainer.quantising
    assert distortion(trainer.model, rumble(1, seed=2)) > 10
    assert CodecTrainer(replace(settings, steps=5), cache, run).run()


def test_networks_without_room_are_refused(cache: AudioCache) -> None:
    with pytest.raises(SettingsError, match="only encodec_24khz can"):
        lines_of(ENCODEC_48KHZ, FREE)
    with pytest.raises(SettingsError, match="40 samples and more do not fit into 40"):
        start_as_transform(EncodecNetwork(ENCODEC_24KHZ.with_filters(5)), cache)


@pytest.mark.parametrize("length", [2 * HOP - 2, 20 * HOP])
def test_nothing_to_learn_from(length: int, tmp_path: Path) -> None:
    silent = cache_of(np.zeros((1, length), dtype=np.int16), tmp_path / "silent")
    with pytest.raises(TrainingDataError, match="no recording has a block of 320 samples"):
        principal_components(silent, HOP, 10)


def finished(rank: int) -> EncodecNetwork:
    """A network with four copies of each channel, and a latent of so many dimensions."""
    model = narrow(ENCODEC_24KHZ, 2)
    for _ in range(2):
        model = doubled(model, torch.Generator().manual_seed(2))
    last = conv_of(model.encoder.model[-1])
    with torch.no_grad():
        turn = torch.linalg.qr(torch.randn(128, rank)).Q
        set_weight(last, torch.einsum("oik,op,qp->qik", joined_weight(last), turn, turn))
    return model


@torch.no_grad()
def test_the_transform_joins_finished_weights(cache: AudioCache) -> None:
    model, grafted = finished(rank=20), finished(rank=20)
    graft_transform(grafted, cache)
    clip = rumble(1.03, seed=2)
    before, after = (m.decoder(m.encoder(clip))[..., : clip.shape[-1]] for m in (model, grafted))
    assert si_snr(clip, after - before) > 20
    level = (after - before).std() / clip.std()
    assert 0.25 < level < 0.3, "the share, less what ELU takes of it"
    assert before.std() > 0.1 * (after - before).std(), "what it joins is there"


@torch.no_grad()
def test_a_latent_that_needs_its_values_is_not_cut(cache: AudioCache) -> None:
    model = finished(rank=128)
    powers, vectors = torch.linalg.eigh(torch.cov(model.encoder(rumble(6, seed=1))[0]))
    last = conv_of(model.encoder.model[-1])
    white = vectors * powers.clamp(min=1e-12).rsqrt() @ vectors.T
    set_weight(last, torch.einsum("oik,po->pik", joined_weight(last), white))
    with pytest.raises(SettingsError, match=r"needs more than 32 values: .+% of its power"):
        graft_transform(model, cache)


def zeros(model: EncodecNetwork) -> int:
    return sum(int((parameter == 0).sum()) for parameter in model.parameters())


@pytest.mark.parametrize("kept", [False, True])
def test_zeros_are_kept(kept: bool, cache: AudioCache, tmp_path: Path) -> None:
    settings = replace(RUN, keep_zeros=kept, steps=3, quantise_from=1.0)
    trainer = CodecTrainer(settings, cache, tmp_path / "run")
    before = zeros(trainer.model)
    weights = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    for _ in range(2):
        trainer.train_step()
    trainer.save()
    again = CodecTrainer(settings, cache, tmp_path / "run")
    again.train_step()
    assert before > 1000
    assert (zeros(again.model) == before) == kept
    for name, weight in again.model.named_parameters():
        assert not torch.equal(weight, weights[name]) or not weight.any(), name
