"""What distinguishes one EnCodec model from another."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .errors import UnknownModelError, UnsupportedBandwidthError, WeightsError

Norm = Literal["weight_norm", "time_group_norm"]
"""Of a convolution's weights, or of its output over channels and time."""


@dataclass(frozen=True)
class ModelConfig:
    """Shape and format of a model. The defaults are the paper's network."""

    name: str
    sample_rate: int  # Hz
    channels: int
    target_bandwidths: tuple[float, ...]  # kbps
    causal: bool
    norm: Norm
    normalize: bool  # each segment by its own scale
    segment: float | None = None  # s; None: the whole audio is one segment
    overlap: float = 0.01  # of a segment
    bins: int = 1024
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    dimension: int = 128
    n_filters: int = 32
    n_residual_layers: int = 1
    lstm: int = 2

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate(self) -> int:
        """Frames a second."""
        return math.ceil(self.sample_rate / self.hop_length)

    @property
    def bits_per_codebook(self) -> int:
        return int(math.log2(self.bins))

    @property
    def num_codebooks(self) -> int:
        """Codebooks at the highest bandwidth."""
        return self.codebooks_for(self.target_bandwidths[-1])

    @property
    def segment_length(self) -> int | None:
        """Samples in a full segment."""
        return None if self.segment is None else int(self.segment * self.sample_rate)

    @property
    def segment_stride(self) -> int | None:
        """Samples from the start of a segment to the start of the next."""
        length = self.segment_length
        return None if length is None else max(1, int((1 - self.overlap) * length))

    @property
    def block_samples(self) -> int:
        """Samples in the blocks an engine works in: a segment's, or a second's."""
        return self.segment_length or self.sample_rate

    def frames(self, samples: int) -> int:
        """Frames that `samples` samples of one segment are coded in."""
        return -(-samples // self.hop_length)

    def codebooks_for(self, bandwidth: float) -> int:
        """Codebooks at `bandwidth` kbps. Raises `UnsupportedBandwidthError`."""
        if bandwidth not in self.target_bandwidths:
            choices = ", ".join(f"{b:g}" for b in self.target_bandwidths)
            wanted = f"{bandwidth:g}" if isinstance(bandwidth, int | float) else repr(bandwidth)
            raise UnsupportedBandwidthError(
                f"{self.name} has no bandwidth of {wanted} kbps; it has {choices}"
            )
        return int(1000 * bandwidth // (self.frame_rate * self.bits_per_codebook))

    def bandwidth_of(self, num_codebooks: int) -> float:
        """kbps that `num_codebooks` codebooks cost."""
        return num_codebooks * self.frame_rate * self.bits_per_codebook / 1000

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata."""
        return asdict(self)

    def with_filters(self, n_filters: int) -> "ModelConfig":
        """The same model with a network of another width."""
        return replace(self, n_filters=n_filters)


ENCODEC_24KHZ = ModelConfig(
    name="encodec_24khz",
    sample_rate=24_000,
    channels=1,
    target_bandwidths=(1.5, 3.0, 6.0, 12.0, 24.0),
    causal=True,
    norm="weight_norm",
    normalize=False,
)
ENCODEC_48KHZ = ModelConfig(
    name="encodec_48khz",
    sample_rate=48_000,
    channels=2,
    target_bandwidths=(3.0, 6.0, 12.0, 24.0),
    causal=False,
    norm="time_group_norm",
    normalize=True,
    segment=1.0,
)
CONFIGS = {config.name: config for config in (ENCODEC_24KHZ, ENCODEC_48KHZ)}
MOST_BANDWIDTH = max(config.target_bandwidths[-1] for config in CONFIGS.values())
"""kbps."""


def config_of(name: str) -> ModelConfig:
    """The configuration of a model by its name. Raises `UnknownModelError`."""
    try:
        return CONFIGS[name]
    except KeyError:
        raise UnknownModelError(f"no model {name!r}; there is {', '.join(CONFIGS)}") from None


LM_CONTEXT = 3.5  # s that a language model looks back
DEPTH_WIDTH = 256  # of the hidden layer of a depth head


@dataclass(frozen=True)
class LMConfig:
    """The network of a language model over the codes of the model `name`.

    With `depth`, a codebook's prediction also depends on the codes before it in the same frame.
    """

    name: str
    dim: int = 200
    num_layers: int = 5
    depth: bool = False

    @property
    def num_codebooks(self) -> int:
        return CONFIGS[self.name].num_codebooks

    @property
    def bins(self) -> int:
        """Entries of a codebook."""
        return CONFIGS[self.name].bins

    @property
    def past_context(self) -> int:
        """Frames that it looks back."""
        return int(LM_CONTEXT * CONFIGS[self.name].frame_rate)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata; `depth`, which earlier versions do not know,
        only where it is true."""
        values = asdict(self)
        return values if self.depth else {k: v for k, v in values.items() if k != "depth"}


# What a checkpoint may choose of its network: least and greatest value. All that a bitstream
# depends on belongs to the model's name.
_FREE = {"n_filters": (2, 256), "n_residual_layers": (0, 8), "dimension": (1, 1024), "lstm": (0, 8)}
_LM_FREE = {"dim": (8, 4096), "num_layers": (1, 64)}


def check_config(data: Mapping[str, Any], where: Path | str) -> ModelConfig:
    """The configuration that a checkpoint states.

    Raises `WeightsError`, naming the file `where`, for unknown fields, for a network out of
    bounds, and for anything else than the model's own value in what a bitstream depends on.
    """
    name = data.get("name")
    if not isinstance(name, str) or name not in CONFIGS:
        raise WeightsError(f"{where}: no model is called {name!r}")
    standard = CONFIGS[name].to_dict()
    unknown = set(data) - set(standard)
    if unknown:
        raise WeightsError(f"{where}: unknown configuration fields: {sorted(unknown)}")
    _check_bounds(data, _FREE, where)
    for key, value in standard.items():
        own = data.get(key, value)
        if key not in _FREE and (tuple(own) if isinstance(own, list) else own) != value:
            raise WeightsError(f"{where}: {key} is {own!r}, but {name} has {value!r}")
    return replace(CONFIGS[name], **{key: data[key] for key in _FREE if key in data})


def check_lm_config(data: Mapping[str, Any], where: Path | str) -> LMConfig:
    """The language model configuration that a checkpoint states. Raises `WeightsError`."""
    name = data.get("name")
    known = {"name", "depth", *_LM_FREE}
    if not isinstance(name, str) or name not in CONFIGS or set(data) - known:
        raise WeightsError(f"{where}: not a language model configuration: {dict(data)!r:.200}")
    _check_bounds(data, _LM_FREE, where)
    if not isinstance(data.get("depth", False), bool):
        raise WeightsError(f"{where}: depth is {data['depth']!r}, neither true nor false")
    config = LMConfig(**data)
    if config.dim % 8:  # attention heads
        raise WeightsError(f"{where}: dim is {config.dim}, which is not a multiple of 8")
    return config


def _check_bounds(
    data: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]], where: Path | str
) -> None:
    for key, (least, greatest) in bounds.items():
        value = data.get(key, least)
        if type(value) is not int or not least <= value <= greatest:
            raise WeightsError(f"{where}: {key} is {value!r}, not within {least} to {greatest}")
