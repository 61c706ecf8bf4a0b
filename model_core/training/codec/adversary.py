"""The MS-STFT discriminators, their losses and their optimiser.

Source: paper section 3.4, "discriminative loss".
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import get_total_norm

from ... import distrib
from ...config import ModelConfig
from ..optimizer import adam, resume_optimizer, step_if_finite
from .discriminator import MultiScaleSTFTDiscriminator

WINDOWS = (2048, 1024, 512, 256, 128)  # samples at 24 kHz
MONO_PROBABILITY, STEREO_PROBABILITY = 2 / 3, 0.5  # the paper's, for 24 and 48 kHz


def windows_for(sample_rate: int) -> tuple[int, ...]:
    """Window lengths in samples: the paper's at 24 kHz, doubled at 48 kHz."""
    factor = max(1, round(sample_rate / 24_000))
    return tuple(factor * window for window in WINDOWS)


def generator_hinge(fake: list[Tensor]) -> Tensor:
    """The codec's loss: how far its logits lie below 1. Mean over the scales."""
    return torch.stack([F.relu(1 - logits.float()).mean() for logits in fake]).mean()


def discriminator_hinge(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """The discriminators' loss: real logits below 1, fake ones above -1."""
    margins = [
        F.relu(1 - a.float()).mean() + F.relu(1 + b.float()).mean()
        for a, b in zip(real, fake, strict=True)
    ]
    return torch.stack(margins).mean()


def relative_feature_distance(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean absolute difference over the mean absolute real feature, averaged over all layers.

    Features keep their precision (they are a batch's largest tensors); means are float32.
    """
    distances = []
    for real_layers, fake_layers in zip(real, fake, strict=True):
        for a, b in zip(real_layers, fake_layers, strict=True):
            level = a.abs().mean(dtype=torch.float32).clamp(min=1e-8)
            distances.append((a - b).abs().mean(dtype=torch.float32) / level)
    return torch.stack(distances).mean()


class Adversary:
    """Discriminators between decoded audio and the original, and their training.

    Each channel is judged by itself. Waveforms are `[B, C, T]` with T at least the longest window.
    Networks run in the caller's autocast precision (float32 or bfloat16), spectra and losses in
    float32. All processes start with the discriminators of the first one, learn at the same steps
    and average their gradients.
    """

    def __init__(
        self,
        config: ModelConfig,
        filters: int = 32,
        learning_rate: float = 3e-4,
        device: str | torch.device = "cpu",
        update_probability: float | None = None,
        seed: int = 0,
    ):
        """`update_probability` None means the paper's: 2/3 for mono models, 1/2 for stereo."""
        windows = windows_for(config.sample_rate)
        hops = [window // 4 for window in windows]
        self.discriminator = MultiScaleSTFTDiscriminator(
            filters, n_ffts=windows, hop_lengths=hops, win_lengths=windows
        ).to(device)
        distrib.broadcast_tensors(self.discriminator.parameters())
        self.optimizer = adam(self.discriminator.parameters(), learning_rate, (0.5, 0.9))
        if update_probability is None:
            update_probability = MONO_PROBABILITY if config.channels == 1 else STEREO_PROBABILITY
        self.update_probability = update_probability
        self.learning_rate = learning_rate
        self.seed = seed

    def generator_losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The codec's losses, `adversarial` and `feature`; the discriminators get no gradient."""
        parameters = list(self.discriminator.parameters())
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            with torch.no_grad():
                _, real_features = self.discriminator(_mono(real))
            fake_logits, fake_features = self.discriminator(_mono(fake))
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
        return {
            "adversarial": generator_hinge(fake_logits),
            "feature": relative_feature_distance(real_features, fake_features),
        }

    def learns_at(self, step: int) -> bool:
        """Whether the discriminators learn at `step`: a function of the seed and the step alone."""
        return np.random.default_rng([self.seed, step]).random() < self.update_probability

    def update(self, real: Tensor, fake: Tensor, step: int, rate: float = 1.0) -> dict[str, Tensor]:
        """One step of the discriminators, if they learn at `step`; `fake` gets no gradient.

        `rate` is the factor of the learning rate at this step. Returns `discriminator`, the hinge
        loss, or nothing if they do not learn. A gradient that is not finite changes nothing.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * rate
        if not self.learns_at(step):
            return {}
        logits, _ = self.discriminator(torch.cat([_mono(real), _mono(fake)]).detach())
        pairs = [scale.chunk(2) for scale in logits]
        loss = discriminator_hinge([a for a, _ in pairs], [b for _, b in pairs])
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([loss])
        distrib.sync_grad(self.discriminator.parameters())
        norm = get_total_norm(p.grad for p in self.discriminator.parameters() if p.grad is not None)
        step_if_finite(self.optimizer, norm)
        return {"discriminator": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly: weights and the optimiser's averages."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, with this object's learning rate.

        If the optimiser's state is None, it starts anew. Raises `RuntimeError` for another shape.
        """
        self.discriminator.load_state_dict(state["discriminator"])
        resume_optimizer(self.optimizer, state["optimizer"])


def _mono(x: Tensor) -> Tensor:
    """`[B, C, T] -> [B * C, 1, T]`, float32."""
    return x.reshape(-1, 1, x.shape[-1]).float()
