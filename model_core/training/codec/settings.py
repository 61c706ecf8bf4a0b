"""The settings of a codec's training run, with the paper's values (section 4.2) as defaults."""

from dataclasses import dataclass
from typing import Any

from ...config import CONFIGS, config_of
from ...errors import SettingsError
from ...flags import Range
from ..data.augment import Augmentation
from ..processes import PRECISIONS
from ..settings import SHARE, check, setting
from .adversary import windows_for
from .transform import TRANSFORM

WEIGHT = Range(0, 1e6)
BETA = Range(0, 0.9999)
AUGMENTATIONS: dict[str, Augmentation | None] = {
    "paper": Augmentation(),
    "level": Augmentation(two_sources=0, three_sources=0, reverberation=0),
    "worn": Augmentation(
        two_sources=0.1,
        three_sources=0,
        reverberation=0.1,
        quiet=0.25,
        noise=0.1,
        band_limit=0.1,
        clipping=0.1,
        offset=0.05,
    ),
    "none": None,
}

_BUNDLED_ON: dict[str, Any] = {
    "start_from": "bundled",
    "augment": "worn",
    "time_weight": 2.0,
    "spectrum_weight": 1.0,
    "quantise_from": 0.0,
    "keep_zeros": True,
}
"""The bundled weights trained on."""

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    # A small network in five minutes on two CPU cores: no discriminators, length by the clock.
    "laptop": {
        "n_filters": 8,
        "minutes": 5.0,
        "batch": 8,
        "clip_seconds": 0.5,
        "augment": "level",
        "learning_rate": 1e-3,
        "time_weight": 0.5,
        "adversarial_weight": 0.0,
        "average_decay": 0.99,
        "balancer_decay": 0.99,
        "decay_from": 0.4,
        "quantise_from": 0.15,
        "kmeans_frames": 4000,
        "save_every": 50,
        "evaluate_every": 200,
    },
    # For hours of one CPU core: small steps, no discriminators.
    "core": {
        **_BUNDLED_ON,
        "n_filters": 16,
        "steps": 30_000,
        "batch": 4,
        "clip_seconds": 0.5,
        "learning_rate": 5e-4,
        "adversarial_weight": 0.0,
        "balancer_decay": 0.99,
        "save_every": 500,
        "evaluate_every": 3000,
    },
    # For minutes of a large GPU, at full width, in two stages: all of it without discriminators,
    # then the decoder alone against them, so that codes are final early.
    "gpu": {
        **_BUNDLED_ON,
        "steps": 300_000,
        "batch": 64,
        "adversary_from": 0.667,
        "freeze_from": 0.667,
        "save_every": 1000,
        "evaluate_every": 2000,
    },
}


@dataclass(frozen=True)
class CodecSettings:
    """The settings of a run. Lengths are in steps, seconds or minutes, as the names say."""

    model: str = setting("encodec_24khz", "the codec to train", choices=tuple(CONFIGS))
    n_filters: int = setting(32, "width of the network; the published models have 32", Range(1, 64))
    start_from: str | None = setting(
        None,
        "what to start from: bundled or a folder of weights, or transform: the linear transform "
        "that suits the recordings (24 kHz)",
        path=True,
    )

    steps: int = setting(600_000, "length of the whole run", Range(1))
    minutes: float | None = setting(
        None, "end the run after this time instead; the schedule follows the clock", Range(0.01)
    )
    batch: int = setting(64, "clips a step and process", Range(1))
    clip_seconds: float = setting(1.0, "length of a clip", Range(0.05, 60))
    mix: dict[str, float] = setting(
        {}, "how often each category is drawn, NAME=SHARE,… (empty: in proportion to its seconds)"
    )
    augment: str = setting(
        "paper",
        "paper: mix, reverberate and change the level (section 4.1); level: the level alone; "
        "worn: a little of both, and quiet, noisy, clipped, dull and offset clips; none",
        choices=tuple(AUGMENTATIONS),
    )
    seed: int = setting(1, "seed of all random draws", Range(0))

    learning_rate: float = setting(3e-4, "Adam's step", Range(0, 1))
    beta1: float = setting(0.5, "decay of Adam's average of gradients", BETA)
    beta2: float = setting(0.9, "decay of Adam's average of squared gradients", BETA)
    warmup_steps: int = setting(50, "steps until the full learning rate", Range(0))
    decay_from: float = setting(0.5, "share of the run after which the rate falls", SHARE)
    final_rate: float = setting(0.02, "the share that it falls to", SHARE)
    max_gradient: float = setting(5.0, "gradients are clipped to this norm", Range(1e-6))
    average_decay: float = setting(0.999, "of the moving average of the weights; 0: none", SHARE)
    precision: str = setting(
        "auto", "of the convolutions; auto: bfloat16 on CUDA", choices=PRECISIONS
    )

    time_weight: float = setting(0.1, "balancer: waveform L1", WEIGHT)
    relative_time: bool = setting(True, "divide the waveform loss by each clip's level")
    mel_weight: float = setting(1.0, "balancer: multi-scale mel L1 + L2", WEIGHT)
    mel_floor: float = setting(
        1e-2, "amplitude that counts as silence in the mel loss (audiocraft: 1e-5)", Range(1e-8, 1)
    )
    spectrum_weight: float = setting(
        0.0, "balancer: complex spectra at several windows, which include phase", WEIGHT
    )
    loudness_weight: float = setting(
        0.0, "balancer: loudness as it is heard, the disturbance of PESQ", WEIGHT
    )
    adversarial_weight: float | None = setting(
        None, "balancer: adversarial; none: 3 at 24 kHz, 4 at 48 kHz", WEIGHT
    )
    feature_weight: float | None = setting(
        None, "balancer: feature matching; none: as the adversarial weight", WEIGHT
    )
    commitment_weight: float = setting(1.0, "commitment loss, outside the balancer", WEIGHT)
    balancer_decay: float = setting(0.999, "of the balancer's average gradient norms", SHARE)

    quantise_from: float = setting(0.05, "share of the run without the quantiser", SHARE)
    refit: bool = setting(
        False, "with start_from: drop its codebooks and fit new ones at quantise_from"
    )
    graft: bool = setting(
        False,
        "with start_from: make room in its network, put the transform there and fit new codebooks",
    )
    keep_zeros: bool = setting(
        False, "weights that are 0 at the start stay 0, as those around a transform"
    )
    freeze_from: float = setting(
        1.0, "share of the run after which encoder and codebooks are fixed", SHARE
    )
    kmeans_frames: int = setting(12_000, "latents that the codebooks start from", Range(1))
    usual_bandwidth: float = setting(6.0, "kbps, drawn three times as often as the others")

    adversary_from: float = setting(0.1, "share of the run without discriminators", SHARE)
    adversary_filters: int = setting(32, "width of the discriminators", Range(1, 256))
    adversary_rate: float = setting(
        3e-4, "Adam's step for the discriminators; falls as the learning rate does", Range(0, 1)
    )

    save_every: int = setting(200, "steps between saved states", Range(1))
    evaluate_every: int = setting(1000, "steps between evaluations", Range(1))
    log_every: int = setting(20, "steps between logged lines", Range(1))

    def __post_init__(self) -> None:
        check(self)
        config = config_of(self.model)
        if self.graft and self.start_from in (None, TRANSFORM):
            raise SettingsError("graft needs finished weights: say start_from")
        weights = self.weights_between_waveforms
        if not any(weights.values()) and (self.adversary_from > 0 or not self.adversarial):
            names = ", ".join(f"{name}_weight" for name in weights)
            raise SettingsError(f"a run begins with losses of weight 0: say one of {names}")
        if self.keep_zeros and self.start_from is None:
            raise SettingsError(
                "keep_zeros needs weights to start from: say start_from, or keep_zeros no"
            )
        config.codebooks_for(self.usual_bandwidth)
        shortest = windows_for(config.sample_rate)[0] / config.sample_rate
        if self.adversarial > 0 and self.adversary_from < 1 and self.clip_seconds < shortest:
            raise SettingsError(
                f"clip_seconds is {self.clip_seconds:g}; the discriminators need {shortest:.3f}"
            )

    @property
    def weights_between_waveforms(self) -> dict[str, float]:
        """The balancer's weights of the losses between waveforms."""
        return {
            "time": self.time_weight,
            "mel": self.mel_weight,
            "spectrum": self.spectrum_weight,
            "loudness": self.loudness_weight,
        }

    @property
    def adversarial(self) -> float:
        """The adversarial weight; by default the paper's."""
        if self.adversarial_weight is not None:
            return self.adversarial_weight
        return 4.0 if config_of(self.model).channels == 2 else 3.0

    @property
    def feature(self) -> float:
        """The weight of feature matching."""
        return self.adversarial if self.feature_weight is None else self.feature_weight
