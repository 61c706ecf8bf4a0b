"""Evaluation of a codec in training on held-out recordings."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...metrics import log_mel_distance, si_snr
from ...nn.network import EncodecNetwork
from ..data.cache import AudioCache
from ..data.sampler import validation_clips
from .usage import code_counts, usage

CLIPS = 24  # of each category


@dataclass
class Validation:
    """Means over the clips, and a few clips to listen to."""

    values: dict[str, float] = field(default_factory=dict)
    samples: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # original, decoded


@torch.no_grad()
def validate(
    model: EncodecNetwork,
    cache: AudioCache,
    bandwidth: float | None,
    seconds: float = 2.0,
) -> Validation:
    """Code clips of `seconds` at `bandwidth` kbps; None bypasses the quantiser.

    SI-SNR and log-mel distance (dB) per category, and the share of codebook entries used.
    """
    learning = [part for part in model.modules() if part.training]
    model.eval()
    device = next(model.parameters()).device
    kept = Validation()
    sums: dict[str, list[float]] = {}
    counts: Tensor | None = None
    for recording, clip in validation_clips(cache, seconds, CLIPS):
        x = clip[None].to(device)
        scaled, scale = model.normalised(x)
        latent = model.encoder(scaled)
        if bandwidth is not None:
            codes = model.quantizer.encode(latent, model.frame_rate, bandwidth)
            counted = code_counts(codes, model.quantizer.bins)
            counts = counted if counts is None else counts + counted
            latent = model.quantizer.decode(codes)
        y = model.decoder(latent)[..., : x.shape[-1]]
        y = y if scale is None else y * scale[:, :, None]
        for name, value in (
            ("si_snr", si_snr(x, y)),
            ("mel_distance", log_mel_distance(x, y, model.sample_rate)),
        ):
            sums.setdefault(f"{name}/{recording.category}", []).append(float(value.mean()))
        kept.samples.setdefault(recording.category, (x[0].cpu(), y[0].cpu()))
    kept.values = {name: sum(values) / len(values) for name, values in sums.items()}
    if counts is not None:
        kept.values["least_used_codebook"] = float(usage(counts).min())
    for part in learning:  # those of frozen codebooks are not among them
        part.training = True
    return kept
