"""Trains a codec on reconstruction losses alone: first weights, made on a CPU.

Three phases, by the share of the time budget that is spent: the autoencoder without its
quantiser, then with it (codebooks started by k-means on many clips), and from the middle on a
falling learning rate. The state is saved regularly and a run goes on where it stopped.
"""

import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ..balancer import Balancer
from ..config import config_of
from ..metrics import log_mel_distance, si_snr
from ..model import EncodecModel
from ..nn.conv import WeightNormConv1d, WeightNormConvTranspose1d
from .data import AudioCache, ClipSampler
from .losses import MultiScaleMelLoss, relative_l1


@dataclass(frozen=True)
class TrainingConfig:
    """What a run is told."""

    model: str
    n_filters: int = 16
    minutes: float = 60.0
    batch: int = 8
    clip_seconds: float = 0.75
    learning_rate: float = 5e-4
    time_weight: float = 1.0
    mel_weight: float = 1.0
    commitment_weight: float = 1.0
    quantise_from: float = 0.2  # share of the time budget
    kmeans_frames: int = 12_000  # latents that the codebooks start from
    decay_from: float = 0.5  # share of the time budget
    speech: float = 0.6
    music: float = 0.3
    environment: float = 0.1
    seed: int = 1
    save_every: int = 100  # steps
    evaluate_every: int = 400  # steps


def start_loud(model: EncodecModel) -> None:
    """Give weight-normed layers gains that carry the signal through the depth, and no bias.

    With torch's own start the signal dies on the way and what reaches the decoder is bias. A
    convolution with filters of norm 1 keeps the power of a white input; a transposed one, of
    which two taps meet in each sample and half as many channels come out, needs sqrt(stride / 2).
    The first layer lifts the level of audio to about one, the last one starts nearly silent.
    """
    with torch.no_grad():
        for name, conv in model.named_modules():
            if not isinstance(conv, WeightNormConv1d | WeightNormConvTranspose1d):
                continue
            gain = 1.1
            if isinstance(conv, WeightNormConvTranspose1d):
                gain *= math.sqrt(conv.stride[0] / 2)
            if ".block.3." in name:
                gain *= 0.5
            conv.weight_g.fill_(gain)
            if conv.bias is not None:
                conv.bias.zero_()
        for edge, factor in ((model.encoder.model[0], 4.0), (model.decoder.model[-1], 0.1)):
            for conv in edge.modules():
                if isinstance(conv, WeightNormConv1d):
                    conv.weight_g.mul_(factor)


class Trainer:
    """One run; everything it needs to go on is in `state.pt`."""

    def __init__(self, config: TrainingConfig, cache: Path, folder: Path):
        self.config = config
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.random = random.Random(config.seed)
        self.model = EncodecModel(config_of(config.model).with_filters(config.n_filters))
        start_loud(self.model)
        generator = torch.Generator().manual_seed(config.seed)
        rate = self.model.sample_rate
        self.cache = AudioCache(cache)
        weights = {
            "speech": config.speech,
            "music": config.music,
            "environment": config.environment,
        }
        self.sampler = ClipSampler(
            self.cache, round(config.clip_seconds * rate), weights, generator
        )
        self.mel = MultiScaleMelLoss(rate)
        self.balancer = Balancer(
            {"time": config.time_weight, "mel": config.mel_weight}, ema_decay=0.99
        )
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, betas=(0.5, 0.9)
        )
        self.step = 0
        self.spent = 0.0  # seconds
        self.quantising = False
        if (folder / "state.pt").exists():
            self._resume()

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self.folder / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.generator.set_state(state["generator"])
        self.step, self.spent = state["step"], state["spent"]
        self.quantising = state["quantising"]
        if self.quantising:
            self._set_dead_code_threshold()

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.sampler.generator.get_state(),
            "step": self.step,
            "spent": self.spent,
            "quantising": self.quantising,
            "config": asdict(self.config),
        }
        partial = self.folder / "state.pt.part"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")

    @property
    def progress(self) -> float:
        """Share of the time budget that is spent."""
        return self.spent / (60 * self.config.minutes)

    def run(self) -> None:
        """Train until the time budget is spent."""
        self.model.train()
        while self.progress < 1:
            began = time.monotonic()
            if not self.quantising and self.progress >= self.config.quantise_from:
                self._start_quantiser()
            losses = self._train_step()
            self.spent += time.monotonic() - began
            self.step += 1
            if self.step % 20 == 0:
                self._log({k: round(float(v), 4) for k, v in losses.items()})
            if self.step % self.config.save_every == 0:
                self.save()
            if self.step % self.config.evaluate_every == 0:
                self._log(self.evaluate())
        self.save()
        self._log(self.evaluate())

    def _train_step(self) -> dict[str, Tensor]:
        fall = max(0.0, self.progress - self.config.decay_from) / (1 - self.config.decay_from)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * max(0.02, 1 - fall)
        x = self.sampler.batch(self.config.batch)
        target = self.model.normalised(x)[0]
        latent = self.model.encoder(target)
        penalty = x.new_zeros(())
        if self.quantising:
            result = self.model.quantizer(latent, self.model.frame_rate, self._bandwidth())
            latent, penalty = result.quantized, result.penalty
        y = self.model.decoder(latent)[..., : target.shape[-1]]
        losses = {
            "time": relative_l1(target, y),
            "mel": self.mel(target, y),
        }
        gradient = self.balancer.gradient(losses, y)
        self.optimizer.zero_grad(set_to_none=True)
        if self.quantising:
            scaled = self.config.commitment_weight * penalty
            torch.autograd.backward([y, scaled], [gradient, torch.ones_like(scaled)])
        else:
            y.backward(gradient)
        norm = clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        seen = losses | {
            "commitment": penalty,
            "gradient": norm,
            "si_snr": si_snr(target, y).mean(),
        }
        return {name: value.detach() for name, value in seen.items()}

    def _bandwidth(self) -> float:
        choices = self.model.target_bandwidths
        weights = [3.0 if kbps == 6.0 else 1.0 for kbps in choices]
        return self.random.choices(choices, weights)[0]

    @torch.no_grad()
    def _start_quantiser(self) -> None:
        """Fill the codebooks by k-means on the latents of many clips, layer by layer."""
        latents = []
        frames = 0
        while frames < self.config.kmeans_frames:
            x = self.sampler.batch(self.config.batch)
            latent = self.model.encoder(self.model.normalised(x)[0])
            latents.append(latent.transpose(1, 2).reshape(-1, latent.shape[1]))
            frames += len(latents[-1])
        residual = torch.cat(latents)
        for layer in self.model.quantizer.codebooks:
            layer.codebook.kmeans_iters = 10
            layer.codebook.init_(residual)
            residual = residual - layer.codebook.decode(layer.codebook.encode(residual))
        self.quantising = True
        self._set_dead_code_threshold()

    def _set_dead_code_threshold(self) -> None:
        """A code is dead at a tenth of its fair share of a (small) batch."""
        hop = self.model.config.hop_length
        frames = self.config.batch * self.sampler.clip / hop
        for layer in self.model.quantizer.codebooks:
            book = layer.codebook
            book.threshold_ema_dead_code = 0.1 * frames / book.bins

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """SI-SNR (dB) and mel distance (dB) at 6 kbps on recordings that are not trained on."""
        self.model.eval()
        valid = [r for r in self.cache.recordings if r.split == "valid"]
        rate = self.model.sample_rate
        sums: dict[str, list[float]] = {}
        for recording in valid[:: max(1, len(valid) // 16)]:
            x = self.cache.read(recording, 0, min(recording.length, 2 * rate))[None]
            if x.abs().max() < 1e-3:
                continue
            if self.quantising:
                self.model.bandwidth = 6.0
                y = self.model(x)
            else:
                y = self._whole_without_quantiser(x)
            sums.setdefault(f"{recording.category}_si_snr", []).append(float(si_snr(x, y).mean()))
            sums.setdefault(f"{recording.category}_mel", []).append(
                float(log_mel_distance(x, y, rate).mean())
            )
        self.model.train()
        return {f"valid_{k}": round(sum(v) / len(v), 3) for k, v in sums.items()}

    def _whole_without_quantiser(self, x: Tensor) -> Tensor:
        x, scale = self.model.normalised(x)
        y: Tensor = self.model.decoder(self.model.encoder(x))[..., : x.shape[-1]]
        return y if scale is None else y * scale[:, :, None]

    def _log(self, values: dict[str, float]) -> None:
        entry = {"step": self.step, "minutes": round(self.spent / 60, 2), **values}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
