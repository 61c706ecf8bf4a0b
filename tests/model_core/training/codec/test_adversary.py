"""The adversary's losses are the paper's; it learns, at drawn steps, and resumes exactly."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from model_core.training.codec.adversary import (
    Adversary,
    discriminator_hinge,
    generator_hinge,
    relative_feature_distance,
    windows_for,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(11)


def pair(channels: int = 1, samples: int = 6000) -> tuple[Tensor, Tensor]:
    """Tones, and tones with a hiss."""
    tone = torch.sin(torch.arange(samples) * torch.linspace(0.05, 0.4, 3 * channels)[:, None])
    real = 0.3 * tone.view(3, channels, samples)
    return real, real + 0.05 * torch.randn_like(real)


def adversary(probability: float | None = 1.0, seed: int = 0) -> Adversary:
    return Adversary(ENCODEC_24KHZ, filters=2, update_probability=probability, seed=seed)


def test_windows_are_the_papers() -> None:
    assert windows_for(24_000) == (2048, 1024, 512, 256, 128)
    assert windows_for(48_000) == (4096, 2048, 1024, 512, 256)
    for config in (ENCODEC_24KHZ, ENCODEC_48KHZ):
        scales = Adversary(config, filters=2).discriminator.discriminators
        transforms: list[Any] = [scale.spec_transform for scale in scales]
        assert tuple(t.n_fft for t in transforms) == windows_for(config.sample_rate)
        assert all(t.n_fft == t.win_length == 4 * t.hop_length for t in transforms)


def test_hinge_losses_written_out() -> None:
    first, second = torch.tensor([2.0, 0.0]), torch.tensor([-3.0])
    # max(0, 1 - D): (0 + 1) / 2 and 4; max(0, 1 + D): (3 + 1) / 2 and 0
    assert generator_hinge([first, second]) == (0.5 + 4) / 2
    assert discriminator_hinge([first, second], [first, second]) == (0.5 + 2 + 4 + 0) / 2


def test_feature_distance_is_relative_to_the_real_feature() -> None:
    real = [[torch.tensor([1.0, -3.0])], [torch.tensor([10.0])]]
    fake = [[torch.tensor([2.0, -3.0])], [torch.tensor([5.0])]]
    assert relative_feature_distance(real, fake) == (0.5 / 2 + 5 / 10) / 2
    louder = [[100 * layer for layer in scale] for scale in real]
    louder_fake = [[100 * layer for layer in scale] for scale in fake]
    assert relative_feature_distance(louder, louder_fake) == (0.5 / 2 + 5 / 10) / 2
    silent = [[torch.zeros(2)]]
    assert relative_feature_distance(silent, silent) == 0


def test_channels_are_judged_as_separate_items() -> None:
    judge = Adversary(ENCODEC_48KHZ, filters=2)
    real, fake = pair(channels=2)
    stereo = judge.generator_losses(real, fake)
    mono = judge.generator_losses(real.reshape(6, 1, -1), fake.reshape(6, 1, -1))
    assert stereo.keys() == {"adversarial", "feature"}
    for name, loss in stereo.items():
        torch.testing.assert_close(loss, mono[name])


def test_only_the_decoded_audio_gets_the_generators_gradient() -> None:
    judge = adversary()
    real, fake = (x.requires_grad_() for x in pair())
    losses = judge.generator_losses(real, fake)
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, fake, retain_graph=True)
        assert gradient.abs().amax(dim=(1, 2)).min() > 0, name
    torch.stack(list(losses.values())).sum().backward()
    assert real.grad is None
    parameters = list(judge.discriminator.parameters())
    assert all(p.grad is None and p.requires_grad for p in parameters)


def test_an_update_gives_the_decoded_audio_no_gradient() -> None:
    real, fake = (x.requires_grad_() for x in pair())
    judge = adversary()
    judge.update(real, fake, 0)
    assert real.grad is None
    assert fake.grad is None
    assert all(p.grad is not None for p in judge.discriminator.parameters())


def test_it_learns_to_tell_them_apart() -> None:
    judge = Adversary(ENCODEC_24KHZ, filters=2, learning_rate=2e-2, update_probability=1.0)
    real, fake = pair(samples=3000)
    before = judge.generator_losses(real, fake)["adversarial"]
    losses = [judge.update(real, fake, step)["discriminator"] for step in range(30)]
    assert losses[0] == pytest.approx(2, abs=0.2)  # it knows nothing yet: logits near 0
    assert losses[-1] < 0.75 * losses[0]
    assert judge.generator_losses(real, fake)["adversarial"] > before


def test_it_learns_at_steps_drawn_from_the_seed() -> None:
    mono, stereo = (Adversary(c, filters=2) for c in (ENCODEC_24KHZ, ENCODEC_48KHZ))
    steps = range(3000)
    drawn = [mono.learns_at(step) for step in steps]
    assert sum(drawn) / 3000 == pytest.approx(2 / 3, abs=0.03)
    assert sum(stereo.learns_at(step) for step in steps) / 3000 == pytest.approx(1 / 2, abs=0.03)
    same, other = adversary(None), adversary(None, seed=1)
    assert [same.learns_at(step) for step in reversed(steps)] == drawn[::-1]
    assert [other.learns_at(step) for step in steps] != drawn
    runs = sum(a != b for a, b in pairwise(drawn)) / 2999
    assert runs == pytest.approx(2 * 2 / 9, abs=0.04)  # neighbouring steps are independent


def test_where_it_does_not_learn_nothing_changes() -> None:
    judge = adversary(0.0)
    before = [p.clone() for p in judge.discriminator.parameters()]
    assert judge.update(*pair(), 0) == {}
    after = judge.discriminator.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_it_goes_on_at_the_rate_it_is_given() -> None:
    judge = Adversary(ENCODEC_24KHZ, filters=2, learning_rate=1e-3)
    judge.update(*pair(), 0)
    slower = Adversary(ENCODEC_24KHZ, filters=2, learning_rate=1e-4)
    slower.load_state_dict(judge.state_dict())
    assert [group["lr"] for group in slower.optimizer.param_groups] == [1e-4]


def test_it_learns_at_the_share_of_its_rate_that_it_is_given() -> None:
    moved = []
    for rate in (1.0, 0.1, 0.0):
        judge = adversary()
        before = [p.clone() for p in judge.discriminator.parameters()]
        judge.update(*pair(), 0, rate)
        after = judge.discriminator.parameters()
        moved.append(
            max(float((a - b).detach().abs().max()) for a, b in zip(before, after, strict=True))
        )
    assert moved == pytest.approx([judge.learning_rate, 0.1 * judge.learning_rate, 0.0], rel=0.05)


def test_decoded_audio_that_is_not_finite_changes_nothing() -> None:
    judge = adversary()
    before = [p.clone() for p in judge.discriminator.parameters()]
    real, fake = pair()
    judge.update(real, fake * float("nan"), 0)
    after = judge.discriminator.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.usefixtures("one_thread")
def test_it_resumes_exactly(tmp_path: Path) -> None:
    real, fake = pair()
    judge = adversary()
    for step in range(2):
        judge.update(real, fake, step)
    torch.save(judge.state_dict(), tmp_path / "state.pt")
    expected = [judge.update(real, fake, step) for step in range(2, 4)]
    resumed = adversary()
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.update(real, fake, step) for step in range(2, 4)] == expected


def test_under_autocast_spectra_and_losses_are_float32() -> None:
    judge = Adversary(ENCODEC_24KHZ, filters=4, update_probability=1.0)
    real, fake = pair(samples=3000)
    fake.requires_grad_()
    expected = judge.generator_losses(real, fake)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = judge.generator_losses(real, fake)
        logits, _ = judge.discriminator(real)
        update = judge.update(real, fake, 0)
    assert logits[0].dtype == torch.bfloat16
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.05, atol=0.01)
    assert update["discriminator"] == pytest.approx(2, abs=0.2)
    torch.stack(list(losses.values())).sum().backward()
    assert fake.grad is not None
    assert fake.grad.isfinite().all()
