"""One training step of a codec: forward, the balanced losses, backward, the discriminators.

Source: paper sections 3.3 and 3.4.
"""

import random
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ... import distrib
from ...balancer import Balancer
from ...metrics import si_snr
from ...nn.network import EncodecNetwork
from ...nn.seanet import SLSTM
from ..optimizer import adam, step_if_finite
from ..processes import autocast, seed_of
from .adversary import Adversary
from .codebooks import CodebookLearning
from .losses import MultiScaleMelLoss, WaveformLoss
from .loudness import LoudnessLoss
from .settings import CodecSettings
from .spectrum import ComplexSpectrumLoss


class CodecStep:
    """The trained parts and one step of their training. `__call__` returns the losses.

    The losses stay on the device, so the host can prepare the next steps while the device works on
    this one; `float` of a loss waits for it.
    """

    def __init__(self, settings: CodecSettings, model: EncodecNetwork, device: torch.device):
        self.settings = settings
        self.model = model
        self.device = device
        self.codebooks = CodebookLearning(model.quantizer)
        self.losses = _between_waveforms(settings, model.sample_rate).to(device)
        self.balancer = Balancer(
            {
                **settings.weights_between_waveforms,
                "adversarial": settings.adversarial,
                "feature": settings.feature,
            },
            ema_decay=settings.balancer_decay,
        )
        self.optimizer = adam(
            model.parameters(), settings.learning_rate, (settings.beta1, settings.beta2)
        )
        self.adversary: Adversary | None = None

    def start_adversary(self) -> Adversary:
        """The discriminators, made at first use, the same in all processes."""
        if self.adversary is None:
            torch.manual_seed(seed_of(self.settings.seed, "discriminators"))
            self.adversary = Adversary(
                self.model.config,
                self.settings.adversary_filters,
                learning_rate=self.settings.adversary_rate,
                device=self.device,
                seed=self.settings.seed,
            )
        return self.adversary

    def __call__(
        self, clips: Tensor, step: int, rate: float, quantise: bool, judge: bool
    ) -> dict[str, Tensor]:
        """Learn from `clips` `[B, C, T]` with the learning rates times `rate`.

        `quantise` uses the quantiser, `judge` the discriminators.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        target = self.model.normalised(clips)[0]
        output, penalty = self.forward(target, self.bandwidth(step) if quantise else None)
        losses = {name: loss(target, output) for name, loss in self.losses.items()}
        if judge:
            with self._low_precision():
                losses |= self.start_adversary().generator_losses(target, output)
        used = {name: loss for name, loss in losses.items() if self.balancer.weights[name] > 0}
        gradient = self.balancer.gradient(used, output)
        self.optimizer.zero_grad(set_to_none=True)
        commitment = self.settings.commitment_weight * penalty
        if commitment.requires_grad:
            torch.autograd.backward([output, commitment], [gradient, torch.ones_like(commitment)])
        else:
            torch.autograd.backward([output], [gradient])
        distrib.sync_grad(self.model.parameters())
        norm = clip_grad_norm_(self.model.parameters(), self.settings.max_gradient)
        step_if_finite(self.optimizer, norm)
        seen = {name: loss.detach() for name, loss in losses.items()}
        if judge:
            with self._low_precision():
                seen |= self.start_adversary().update(target, output.detach(), step, rate)
        seen["commitment"] = penalty.detach()
        seen["gradient"] = norm
        seen["si_snr"] = si_snr(target, output.detach()).mean()
        return seen

    def freeze(self) -> None:
        """From now on encoder and codebooks are fixed, and only the decoder learns."""
        self.model.encoder.requires_grad_(False)
        self.model.quantizer.eval()

    def forward(self, target: Tensor, bandwidth: float | None) -> tuple[Tensor, Tensor]:
        """The decoded `[B, C, T]`, float32, and the commitment loss.

        `bandwidth` is in kbps; None bypasses the quantiser.
        """
        latent = self._run(self.model.encoder.model, target).float()
        penalty = latent.new_zeros(())
        if bandwidth is not None:
            result = self.codebooks(latent, self.model.config.codebooks_for(bandwidth))
            latent, penalty = result.latent, result.penalty
        *layers, last = self.model.decoder.model
        output = last(self._run(layers, latent).float())  # bfloat16 would be audible in a waveform
        return output[..., : target.shape[-1]], penalty

    def _run(self, layers: Iterable[nn.Module], x: Tensor) -> Tensor:
        """`x` through `layers`, in low precision except for LSTMs: on CUDA they would always take
        float16, in which gradients vanish here (there is no loss scaling)."""
        for layer in layers:
            if isinstance(layer, SLSTM):
                x = layer(x.float())
            else:
                with self._low_precision():
                    x = layer(x)
        return x

    def _low_precision(self) -> torch.autocast:
        return autocast(self.settings.precision, self.device)

    def bandwidth(self, step: int) -> float:
        """The bandwidth (kbps) drawn for a step, the same in all processes (section 3.2)."""
        choices = self.model.target_bandwidths
        usual = self.settings.usual_bandwidth
        weights = [3.0 if kbps == usual else 1.0 for kbps in choices]
        draw = random.Random(seed_of(self.settings.seed, "bandwidth", step))
        return draw.choices(choices, weights)[0]


def _between_waveforms(settings: CodecSettings, sample_rate: int) -> nn.ModuleDict:
    """The losses between waveforms that have a weight, and those that are shown without one."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "time": lambda: WaveformLoss(settings.relative_time),
        "mel": lambda: MultiScaleMelLoss(sample_rate, log_floor=settings.mel_floor),
        "spectrum": ComplexSpectrumLoss,
        "loudness": lambda: LoudnessLoss(sample_rate),
    }
    weights = settings.weights_between_waveforms
    used = [name for name in makers if weights[name] > 0 or name in ("time", "mel")]
    return nn.ModuleDict({name: makers[name]() for name in used})
