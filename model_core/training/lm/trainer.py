"""Trains the language model of a codec's codes (paper section 3.3).

Each step uses sequences of one random bandwidth. All random draws depend on the seed and the step
alone, so a stopped run continues exactly as if it had not stopped.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ... import distrib
from ...checkpoints.load import load_network
from ...codec import Codec
from ...engine import EngineOptions
from ...errors import SettingsError
from ...nn.lm import LMModel
from ...nn.network import EncodecNetwork
from ..average import Average
from ..clock import RunClock
from ..data.cache import AudioCache
from ..log import RunLog
from ..optimizer import resume_optimizer, step_if_finite
from ..processes import autocast, first_one_first, is_first, seed_of
from ..schedule import learning_rate_factor, progress
from ..settings import require_same, save_settings
from ..state import STATE, load_state, save_state
from .codes import CodeStreams, codebook_entries, streams_of
from .data import LMSampler
from .evaluation import bits_per_code, chosen_streams
from .network import LMNetwork
from .settings import EARLIER, LMTrainingConfig
from .start import load_start

BEST = "best.pt"  # the averaged weights with the best evaluation
CODES = "codes"
JUDGED_BY = ("bandwidths", "evaluate_seconds")  # without which evaluations cannot be compared
SHAPE = ("model", "dim", "layers", "depth")  # a continued run cannot change these


class LMTrainer:
    """One run in a folder; `run` continues from where it stopped."""

    def __init__(
        self,
        settings: LMTrainingConfig,
        cache: AudioCache,
        folder: Path,
        device: torch.device | str = "cpu",
    ):
        """Codes the recordings first, if not yet done.

        Raises `SettingsError` if the folder has a run of another network or for other weights, and
        what loading the weights and `load_start` raise.
        """
        self.settings = settings
        self.folder = folder
        self.device = torch.device(device)
        options = EngineOptions(max_batch=32 if self.device.type == "cuda" else None)
        codec = Codec.load(settings.model, settings.weights, str(self.device), options, lm=False)
        assert codec.weights is not None
        self.made_for = codec.name
        self.recordings = cache.origin
        state = self._earlier()
        begins = None
        if settings.start_from is not None and state is None:
            begins = load_start(settings.start_from, settings.lm_config)
        self.train_streams, self.valid_streams = self._streams(codec, cache)
        torch.manual_seed(seed_of(settings.seed, "network"))
        self.network = LMNetwork(
            LMModel.from_config(settings.lm_config),
            codebook_entries(load_network(codec.weights, EncodecNetwork)),
            _counts(self.train_streams, settings.codec.bins),
            settings.dropout,
            settings.code_noise,
        )
        if begins is not None:
            self.network.start_from(begins)
        self.network.to(self.device)
        distrib.broadcast_tensors([*self.network.parameters(), *self.network.buffers()])
        self.optimizer = self._optimizer()
        self.average = Average(self.network, settings.average_decay)
        self.sampler = self._sampler()
        self.step = 0
        self.warm_from = 0  # the step at which the optimiser started
        self.spent = 0.0  # seconds
        self.best = math.inf  # bits a code, of the evaluations so far
        if state is not None:
            self._resume(state)

    def _streams(self, codec: Codec, cache: AudioCache) -> tuple[CodeStreams, CodeStreams]:
        """The first process codes, the others read its files."""
        folder, settings = self.folder / CODES, self.settings
        with first_one_first():
            valid = streams_of(codec, cache, "valid", folder)
            passes = [
                streams_of(codec, cache, "train", folder, number, settings.seed)
                for number in range(settings.passes)
            ]
        return CodeStreams.join(passes), valid

    def _optimizer(self) -> torch.optim.AdamW:
        """Weight decay is for matrices only."""
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for parameter in self.network.parameters():
            groups[parameter.dim() > 1].append(parameter)
        return torch.optim.AdamW(
            [
                {"params": groups[True], "weight_decay": self.settings.weight_decay},
                {"params": groups[False], "weight_decay": 0.0},
            ],
            lr=self.settings.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    def _sampler(self) -> LMSampler:
        settings, codec = self.settings, self.settings.codec
        return LMSampler(
            self.train_streams,
            round(settings.sequence_seconds * codec.frame_rate),
            {
                kbps: (codec.codebooks_for(kbps), share)
                for kbps, share in settings.bandwidth_shares.items()
            },
            round(settings.offset_seconds * codec.frame_rate),
            settings.seed,
            distrib.rank(),
        )

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return progress(self.step, self.settings.steps, self.spent, self.settings.minutes)

    def run(self, stop_after: float | None = None, stop_at: int | None = None) -> bool:
        """Train to the end and return True. After `stop_after` seconds, at step `stop_at` or at a
        signal, save and return False."""
        timed = self.settings.minutes is not None
        steps = None if timed else self.settings.steps
        log = RunLog(self.folder, steps, self.step, is_first())
        try:
            with RunClock(self.spent, stop_after, self.device) as clock:
                while self.progress < 1:
                    clock.tick()
                    self.spent = clock.spent
                    if self.step == stop_at or clock.over:
                        self.save()
                        return False
                    self._report(log, self.train_step())
            self._evaluate(log)
            self.save()
            self._evaluate_best(log)
        finally:
            log.close()
        return True

    def train_step(self) -> dict[str, float | Tensor]:
        """One step; returns its losses."""
        settings = self.settings
        torch.manual_seed(seed_of(settings.seed, "step", self.step, distrib.rank()))
        rate = settings.learning_rate * learning_rate_factor(
            self.step - self.warm_from,
            self.progress,
            settings.warmup_steps,
            settings.decay_from,
            settings.final_rate,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.sampler.batch(self.step, settings.batch).to(self.device)
        self.network.train()
        with autocast(settings.precision, self.device):
            mean, _ = self.network.bits(batch)
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()
        distrib.sync_grad(self.network.parameters())
        norm = clip_grad_norm_(self.network.parameters(), settings.max_gradient)
        step_if_finite(self.optimizer, norm)  # the same in all processes
        self.average.update(self.network)
        self.step += 1
        bits = mean.detach()
        return {f"bits_{batch.bandwidth:g}": bits, "gradient": norm.detach(), "rate": rate}

    def evaluate(self, seconds: float | None = None) -> dict[str, float]:
        """Bits a code, the kbps that makes and the share saved of the raw bits, at each bandwidth,
        with the averaged weights; over `seconds` of held-out audio (None: as the settings say)."""
        codec = self.settings.codec
        wanted = self.settings.evaluate_seconds if seconds is None else seconds
        frames = min(wanted * codec.frame_rate, float(self.valid_streams.lengths.sum()))
        indices = chosen_streams(self.valid_streams, frames)
        with self.average.applied(self.network):
            lm = self.network.merged()
        values: dict[str, float] = {}
        for kbps in codec.target_bandwidths:
            found = bits_per_code(lm, self.valid_streams, indices, codec.codebooks_for(kbps))
            values |= {f"bits_{kbps:g}/{name}": bits for name, bits in found.items()}
            share = found["all"] / codec.bits_per_codebook
            values |= {f"kbps_{kbps:g}": kbps * share, f"saved_{kbps:g}": 1 - share}
        return values

    def _evaluate(self, log: RunLog) -> None:
        """Log an evaluation; keep the averaged weights if they are the best so far."""
        if not is_first():
            return
        values = {n: v for n, v in self.evaluate().items() if "/codebook_" not in n}  # at the end
        log.scalars(self.step, {f"valid/{name}": value for name, value in values.items()})
        shares = self.settings.bandwidth_shares
        mean = sum(share * values[f"bits_{kbps:g}/all"] for kbps, share in shares.items())
        mean /= sum(shares.values())
        if mean < self.best:
            self.best = mean
            save_state(self._described() | {"average": self.average.tensors}, self.folder / BEST)

    def _evaluate_best(self, log: RunLog) -> None:
        """Log what the best weights save on all held-out recordings."""
        if not is_first():
            return
        best = load_state(self.folder / BEST)
        latest = self.average.tensors
        self.average.tensors = {k: v.to(self.device) for k, v in best["average"].items()}
        values = self.evaluate(math.inf)
        self.average.tensors = latest
        log.scalars(best["step"], {f"best/{name}": value for name, value in values.items()})

    def _report(self, log: RunLog, seen: dict[str, float | Tensor]) -> None:
        settings = self.settings
        log.advance(self.step)
        if self.step % settings.log_every == 0:
            values = {name: float(value) for name, value in seen.items()}
            log.advance(self.step, bits=next(iter(values.values())))
            log.scalars(self.step, {f"train/{name}": value for name, value in values.items()})
        if self.step % settings.evaluate_every == 0:
            self._evaluate(log)
        if self.step % settings.save_every == 0:  # with the latest best value
            self.save()

    def save(self) -> None:
        """Write the whole state; only the first process does."""
        if not is_first():
            return
        state = self._described() | {
            "warm_from": self.warm_from,
            "spent": self.spent,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.tensors,
            "average_updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
        }
        # With the first state, so that a start that fails leaves nothing.
        save_settings(self.settings, self.folder)
        save_state(state, self.folder / STATE)

    def _described(self) -> dict[str, Any]:
        return {
            "kind": "lm",
            "config": asdict(self.settings),
            "made_for": self.made_for,
            "recordings": self.recordings,
            "step": self.step,
        }

    def _earlier(self) -> dict[str, Any] | None:
        """The state that the folder has. Raises `SettingsError` where that is of another run."""
        path = self.folder / STATE
        if not path.exists():
            return None
        state: dict[str, Any] = load_state(path)
        if state.get("kind") != "lm":
            raise SettingsError(f"{path} is not of a language model's run")
        require_same(self.folder, SHAPE, EARLIER | state["config"], self.settings)
        if state["made_for"] != self.made_for:
            raise SettingsError(
                f"{self.folder} holds a run for {state['made_for']}, not {self.made_for}"
            )
        return state

    def _resume(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        resume_optimizer(self.optimizer, state["optimizer"])
        self.average.resume(state["average"], state["average_updates"])
        self.step, self.spent = state["step"], state["spent"]
        judged = all(state["config"][name] == getattr(self.settings, name) for name in JUDGED_BY)
        if judged and state.get("recordings") == self.recordings:
            self.best = state["best"]
        self.warm_from = state.get("warm_from", 0)


def _counts(streams: CodeStreams, bins: int) -> Tensor:
    """How often each code occurs, `[K, bins]`."""
    return torch.from_numpy(
        np.stack([np.bincount(codes, minlength=bins) for codes in streams.codes])
    ).float()
