"""The settings of a language model's training run (paper section 3.3)."""

from dataclasses import dataclass
from typing import Any

from ...config import CONFIGS, LMConfig, ModelConfig, config_of
from ...errors import SettingsError
from ...flags import Range
from ..processes import PRECISIONS
from ..settings import SHARE, check, setting

EARLIER: dict[str, Any] = {"depth": False}
"""What holds for a run whose settings do not say it: an earlier version began it."""


@dataclass(frozen=True)
class LMTrainingConfig:
    """The settings of a run. Lengths are in steps, seconds or minutes, as the names say."""

    model: str = setting("encodec_24khz", "the codec whose codes to learn", choices=tuple(CONFIGS))
    weights: str = setting(
        "bundled", "the codec's weights: bundled or a folder of weights", path=True
    )
    dim: int = setting(200, "width of the transformer, a multiple of 8", Range(8, 4096))
    layers: int = setting(5, "layers of the transformer", Range(1, 64))
    depth: bool = setting(
        True, "yes: a codebook's prediction also sees the codes before it in its frame"
    )
    start_from: str | None = setting(
        None,
        "start from a language model of this width: bundled, a folder of weights or a file",
        path=True,
    )

    steps: int = setting(20_000, "length of the whole run", Range(1))
    minutes: float | None = setting(
        None, "end the run after this time instead; the schedule follows the clock", Range(0.01)
    )
    batch: int = setting(8, "sequences a step and process", Range(1))
    sequence_seconds: float = setting(5.0, "length of a sequence", Range(0.02, 60))
    offset_seconds: float = setting(
        120.0, "sequences from inside a recording start at up to this position", Range(0, 1e6)
    )
    bandwidths: dict[str, float] = setting(
        {}, "how often each bandwidth is drawn, KBPS=SHARE,… (empty: 6 kbps three times as often)"
    )
    passes: int = setting(
        4,
        "passes of coding the recordings; after the first with random gain and start",
        Range(1),
    )
    seed: int = setting(1, "seed of all random draws", Range(0))

    learning_rate: float = setting(1e-3, "AdamW's step", Range(0, 1))
    weight_decay: float = setting(0.05, "AdamW's decay of the matrices", Range(0, 10))
    warmup_steps: int = setting(100, "steps until the full learning rate", Range(0))
    decay_from: float = setting(0.2, "share of the run after which the rate falls", SHARE)
    final_rate: float = setting(0.02, "the share that it falls to", SHARE)
    max_gradient: float = setting(1.0, "gradients are clipped to this norm", Range(1e-6))
    dropout: float = setting(0.1, "in the transformer, while training", Range(0, 0.9))
    code_noise: float = setting(0.02, "share of past codes made random in training", SHARE)
    average_decay: float = setting(0.999, "of the moving average of the weights; 0: none", SHARE)
    precision: str = setting(
        "auto", "of the products; auto: bfloat16 on CUDA, float32 on a CPU", choices=PRECISIONS
    )

    save_every: int = setting(200, "steps between saved states", Range(1))
    evaluate_every: int = setting(500, "steps between evaluations", Range(1))
    evaluate_seconds: float = setting(
        60.0, "held-out audio coded at each bandwidth in an evaluation", Range(1)
    )
    log_every: int = setting(20, "steps between logged lines", Range(1))

    def __post_init__(self) -> None:
        check(self)
        if self.dim % 8:
            raise SettingsError(f"dim is {self.dim}, which is not a multiple of 8")
        if not self.bandwidth_shares:
            raise SettingsError("bandwidths are all given a share of 0")

    @property
    def codec(self) -> ModelConfig:
        return config_of(self.model)

    @property
    def lm_config(self) -> LMConfig:
        """The network of the run's language model."""
        return LMConfig(self.model, self.dim, self.layers, self.depth)

    @property
    def bandwidth_shares(self) -> dict[float, float]:
        """kbps -> how often it is drawn. Raises `SettingsError` if the codec does not have it."""
        known = self.codec.target_bandwidths
        if not self.bandwidths:
            return {kbps: 3.0 if kbps == 6.0 else 1.0 for kbps in known}
        shares: dict[float, float] = {}
        for text, share in self.bandwidths.items():
            try:
                kbps = float(text)
            except ValueError:
                kbps = 0.0
            if kbps not in known or not share >= 0:
                choices = ", ".join(f"{b:g}" for b in known)
                raise SettingsError(f"bandwidths: {text}={share:g}; {self.model} has {choices}")
            if share > 0:
                shares[kbps] = share
        return shares
