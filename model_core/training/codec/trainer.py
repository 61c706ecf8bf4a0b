"""Trains a codec: the whole recipe of the paper (sections 3.3, 3.4 and 4.2).

A run has phases: the autoencoder alone, then with its quantiser (started by k-means on the latents
of many clips), then with the discriminators; the learning rate falls at the end. All random draws
depend on the seed and the step alone, so a stopped run continues exactly as if it had not stopped.
"""

import sys
from collections.abc import Generator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ... import distrib
from ...config import config_of
from ...errors import SettingsError
from ...nn.network import EncodecNetwork
from ..average import Average
from ..clock import RunClock
from ..data.cache import AudioCache
from ..data.prefetch import Prefetch
from ..data.sampler import ClipSampler, fits
from ..log import RunLog
from ..optimizer import resume_optimizer
from ..processes import is_first, same_shapes, seed_of
from ..schedule import learning_rate_factor, progress
from ..settings import require_same, save_settings
from ..state import STATE, load_state, save_state
from .codebooks import forget
from .settings import AUGMENTATIONS, CodecSettings
from .start import start
from .step import CodecStep
from .validation import validate
from .zeros import keep_zeros


class CodecTrainer:
    """One run in a folder; `run` continues from where it stopped."""

    def __init__(
        self,
        settings: CodecSettings,
        cache: AudioCache,
        folder: Path,
        device: torch.device | str = "cpu",
    ):
        """Raises `SettingsError` if the folder has a run of another network."""
        self.settings = settings
        self.folder = folder
        self.device = torch.device(device)
        self.cache = cache
        torch.manual_seed(seed_of(settings.seed, "network"))
        self.model = EncodecNetwork(config_of(settings.model).with_filters(settings.n_filters))
        self.quantising = self.frozen = False
        resumes = (folder / STATE).exists()
        if not resumes:
            ready = start(self.model, settings.start_from, cache, settings.graft)
            self.quantising = ready and not settings.refit
            if not self.quantising:
                forget(self.model.quantizer)
        self.model.to(self.device).train()
        self.step = 0
        self.warm_from = 0  # the step at which the optimisers started
        self.spent = 0.0  # seconds
        self.learn = CodecStep(settings, self.model, self.device)
        self.average = Average(self.model, settings.average_decay)
        self.sampler = self._sampler()
        if resumes:
            self._resume()
        if settings.keep_zeros:
            keep_zeros(self.model)
        self.learn.codebooks.expect(self._vectors)
        distrib.broadcast_tensors([*self.model.parameters(), *self.model.buffers()])

    def _sampler(self) -> ClipSampler:
        """On the device if it is a GPU with room for the samples."""
        settings = self.settings
        clip = round(settings.clip_seconds * self.model.sample_rate)
        drawn = (self.cache, clip, settings.mix, settings.seed, distrib.rank())
        augmentation = AUGMENTATIONS[settings.augment]
        place = self.device if fits(self.cache, self.device) else "cpu"
        return ClipSampler(*drawn, augmentation, place)

    def _batches(self) -> Prefetch | Generator[tuple[int, Tensor], None, None]:
        """Endless `(step, clips)` from this step on; close it after use."""
        sampler, size = self.sampler, self.settings.batch
        if sampler.device.type != "cpu":
            return ((step, sampler.batch(step, size)) for step in count(self.step))
        return Prefetch(sampler, size, self.step, pinned=self.device.type == "cuda")

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return progress(self.step, self.settings.steps, self.spent, self.settings.minutes)

    def run(self, stop_after: float | None = None) -> bool:
        """Train to the end and return True. After `stop_after` seconds save, evaluate and return
        False; at a signal save and return False."""
        timed = self.settings.minutes is not None
        steps = None if timed else self.settings.steps
        log = RunLog(self.folder, steps, self.step, is_first())
        batches, first = self._batches(), self.step
        try:
            with RunClock(self.spent, stop_after, self.device) as clock:
                for _, clips in batches:
                    clock.tick()
                    self.spent = clock.spent
                    if self.progress >= 1:
                        break
                    if clock.over:
                        self.save()
                        if self.step > first and not clock.interrupted:
                            self._validate(log)
                        return False
                    self._report(log, self.train_step(clips))
                self.save()
            self._validate(log)
        finally:
            batches.close()
            log.close()
        return True

    def train_step(self, clips: Tensor | None = None) -> dict[str, float | Tensor]:
        """One step on `clips`, by default those of this step; returns its losses, on the
        device."""
        settings, done = self.settings, self.progress
        # The network's own draws (k-means, dead codes) depend on the step too.
        torch.manual_seed(seed_of(settings.seed, "step", self.step, distrib.rank()))
        if not self.quantising and done >= settings.quantise_from:
            self._start_quantiser()
        if self.quantising and done >= settings.freeze_from and not self.frozen:
            self._freeze()
        rate = learning_rate_factor(
            self.step - self.warm_from,
            done,
            settings.warmup_steps,
            settings.decay_from,
            settings.final_rate,
        )
        if clips is None:
            clips = self.sampler.batch(self.step, settings.batch)
        clips = clips.to(self.device, non_blocking=True)
        judge = done >= settings.adversary_from and settings.adversarial > 0
        with same_shapes(self.device):
            seen = self.learn(clips, self.step, rate, self.quantising, judge)
        self.average.update(self.model)
        self.step += 1
        return seen | {"rate": rate * settings.learning_rate}

    @torch.no_grad()
    def _start_quantiser(self) -> None:
        """Fill the codebooks by k-means on the latents of many clips, book by book."""
        if is_first():
            tqdm.write(f"step {self.step}: fitting codebooks", file=sys.stderr)
        latents: list[Tensor] = []
        draw = 0
        while sum(map(len, latents)) < self.settings.kmeans_frames:
            # Batches of much later steps, probably never trained on.
            clips = self.sampler.batch(10**9 + draw, self.settings.batch).to(self.device)
            latent = self.model.encoder(self.model.normalised(clips)[0])
            latents.append(latent.transpose(1, 2).reshape(-1, latent.shape[1]))
            draw += 1
        self.learn.codebooks.fit(torch.cat(latents), self._vectors)
        self.quantising = True
        self.average.restart(self.model)

    def _freeze(self) -> None:
        """From now on encoder and codebooks are those of the average, which is what is exported:
        the codes of the run are final."""
        self.average.settle(self.model, ("encoder.", "quantizer."))
        self.learn.freeze()
        self.frozen = True

    @property
    def _vectors(self) -> int:
        """The latents in a step over all processes."""
        frames = self.settings.batch * self.sampler.clip / self.model.config.hop_length
        return round(frames) * distrib.world_size()

    def _report(self, log: RunLog, seen: dict[str, float | Tensor]) -> None:
        log.advance(self.step)
        if self.step % self.settings.log_every == 0:
            values = {name: float(value) for name, value in seen.items()}
            log.advance(self.step, mel=values["mel"], si_snr=values["si_snr"])
            log.scalars(self.step, {f"train/{name}": value for name, value in values.items()})
        if self.step % self.settings.save_every == 0:
            self.save()
        if self.step % self.settings.evaluate_every == 0:
            self._validate(log)

    def _validate(self, log: RunLog) -> None:
        if not is_first():
            return
        bandwidth = self.settings.usual_bandwidth if self.quantising else None
        with self.average.applied(self.model):
            result = validate(self.model, self.cache, bandwidth)
        log.scalars(self.step, {f"valid/{name}": v for name, v in result.values.items()})
        for category, (original, decoded) in result.samples.items():
            log.audio(self.step, f"{category}/original", original, self.model.sample_rate)
            log.audio(self.step, f"{category}/decoded", decoded, self.model.sample_rate)

    def save(self) -> None:
        """Write the whole state; only the first process does."""
        if not is_first():
            return
        adversary = self.learn.adversary
        state = {
            "kind": "codec",
            "config": asdict(self.settings),
            "recordings": self.cache.origin,
            "step": self.step,
            "warm_from": self.warm_from,
            "spent": self.spent,
            "quantising": self.quantising,
            "model": self.model.state_dict(),
            "average": self.average.tensors,
            "average_updates": self.average.updates,
            "optimizer": self.learn.optimizer.state_dict(),
            "balancer": self.learn.balancer.state_dict(),
            "adversary": None if adversary is None else adversary.state_dict(),
        }
        # With the first state, so that a start that fails leaves nothing.
        save_settings(self.settings, self.folder)
        save_state(state, self.folder / STATE)

    def _resume(self) -> None:
        state: dict[str, Any] = load_state(self.folder / STATE)
        if state.get("kind", "codec") != "codec":
            raise SettingsError(f"{self.folder} is not the run of a codec")
        fixed = ["model", "n_filters"]
        if state["adversary"] is not None:
            fixed.append("adversary_filters")
        require_same(self.folder, fixed, state["config"], self.settings)
        self.model.load_state_dict(state["model"])
        resume_optimizer(self.learn.optimizer, state["optimizer"])
        self.learn.balancer.load_state_dict(state["balancer"])
        if state["adversary"] is not None:
            self.learn.start_adversary().load_state_dict(state["adversary"])
        self.average.resume(state["average"], state["average_updates"])
        self.step, self.spent = state["step"], state["spent"]
        self.warm_from = state.get("warm_from", 0)
        self.quantising = state["quantising"]
