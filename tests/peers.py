"""The reference implementation and ours, side by side with the same weights.

A fresh reference model has codebooks full of zeros, so that every code would be 0 on both sides.
Here the weights are seeded, the latents are made to vary, and each codebook holds mixtures of
the residuals that reach it; `entries_used` is what a test asserts before it trusts equality.
"""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from encodec.model import EncodecModel as ReferenceModel
from encodec.model import LMModel as ReferenceLM
from torch import Tensor, nn

from model_core.config import CONFIGS
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel
from tests.signals import signal as signal

NAMES = tuple(CONFIGS)
SEED = 1234
FIT_SECONDS = {"encodec_24khz": 12, "encodec_48khz": 6}
_AROUND_FRAMES = (1, 319, 320, 321, 479, 480, 481, 2239, 2240, 23_999, 24_000, 24_001)
_AROUND_SEGMENTS = (47_519, 47_520, 47_521, 47_680, 47_681, 47_840, 47_841, 48_000, 48_001)
LENGTHS = {
    "encodec_24khz": _AROUND_FRAMES,
    "encodec_48khz": (*_AROUND_FRAMES, *_AROUND_SEGMENTS),
}
"""Samples: around one frame and a half, the encoder's reach, a second; where a model has segments,
around one and its overlap."""
LM_SECONDS = 3.5  # what the reference's language model sees of the past

Frames = list[tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Pair:
    """The two models; `name` is the configuration's, not the one in an `.ecdc` header."""

    name: str
    reference: ReferenceModel
    ours: EncodecModel


@dataclass(frozen=True)
class LMPair:
    reference: ReferenceLM
    ours: LMModel


class Peers:
    """Builds each pair once; of what they get, tests change the bandwidth only."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, torch.dtype], Pair] = {}
        self._lms: dict[str, LMPair] = {}

    def pair(self, name: str, dtype: torch.dtype = torch.float32) -> Pair:
        """Both implementations of the model `name` in `dtype`, at their highest bandwidth."""
        key = (name, dtype)
        if key not in self._pairs:
            self._pairs[key] = (
                _build_pair(name) if dtype == torch.float32 else _converted(self.pair(name), dtype)
            )
        pair = self._pairs[key]
        pair.reference.bandwidth = pair.ours.bandwidth = None
        return pair

    def lm_pair(self, name: str) -> LMPair:
        """Both language models for the model `name`, float32."""
        if name not in self._lms:
            self._lms[name] = _build_lm_pair(name)
        return self._lms[name]


def _build_pair(name: str) -> Pair:
    reference = _filled_reference(name)
    ours = EncodecModel(CONFIGS[name], name).eval()
    ours.load_state_dict(reference.state_dict())
    return Pair(name, reference, ours)


def _converted(pair: Pair, dtype: torch.dtype) -> Pair:
    reference = _fresh_reference(pair.name).to(dtype)  # its weight norm cannot be copied
    reference.load_state_dict(pair.reference.state_dict())
    return Pair(pair.name, reference, copy.deepcopy(pair.ours).to(dtype))


def _fresh_reference(name: str) -> ReferenceModel:
    factories = {
        "encodec_24khz": ReferenceModel.encodec_model_24khz,
        "encodec_48khz": ReferenceModel.encodec_model_48khz,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its weight_norm is an old one
        model = factories[name](pretrained=False)
    model.name = name
    return model


def _filled_reference(name: str) -> ReferenceModel:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED + NAMES.index(name))
        model = _fresh_reference(name)
        _liven(model)
        rate = model.sample_rate
        fit = signal(model.channels, FIT_SECONDS[name] * rate, rate, seed=99)
        _fill_codebooks(model, torch.cat(latents(model, fit[None]), dim=1).t())
    return model


def _liven(model: nn.Module) -> None:
    """Raise the gains, since default initialisation lets the signal die from layer to layer."""
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("weight_g"):
            parameter.data *= 1.8
        elif ".norm." in parameter_name:
            parameter.data += 0.2 * torch.randn_like(parameter)


def latents(model: ReferenceModel, x: Tensor) -> list[Tensor]:
    """What the quantiser sees of `x` `[1, C, T]`: `[D, T]` a segment."""
    seen: list[Tensor] = []
    handle = model.encoder.register_forward_hook(lambda _m, _i, out: seen.append(out[0]))
    model.encode(x)
    handle.remove()
    return seen


def reference_decodes(name: str, samples: int) -> bool:
    """False where the segment before the last reaches past it, which the reference cannot add."""
    config = CONFIGS[name]
    if config.segment_stride is None or samples <= config.segment_stride:
        return True
    return not 161 <= samples % config.segment_stride <= 320


def _fill_codebooks(model: ReferenceModel, residual: Tensor) -> None:
    """Entries around the mean residual, in the directions of sampled ones, all equally far.

    (Were some nearer to the mean, the many small residuals of the deeper layers would all take
    the same few.)
    """
    for codebook in _codebooks(model):
        bins, dim = codebook.embed.shape
        mean = residual.mean(dim=0)
        spread = (residual - mean).norm(dim=1)
        towards = (residual - mean)[torch.randint(0, len(residual), (bins,))]
        towards = nn.functional.normalize(towards) + 0.5 * torch.randn(bins, dim) / dim**0.5
        entries = mean + 0.7 * spread.median() * nn.functional.normalize(towards)
        size = torch.randint(2, 50, (bins,)).float()
        codebook.embed.copy_(entries)
        codebook.cluster_size.copy_(size)
        codebook.embed_avg.copy_(entries * size[:, None])
        codebook.inited.fill_(1)
        residual = residual - codebook.dequantize(codebook.quantize(residual))


def _codebooks(model: ReferenceModel) -> list[Any]:
    """Its codebooks (`EuclideanCodebook`), whose buffers and methods have no types."""
    return [layer.get_submodule("_codebook") for layer in model.quantizer.vq.layers]


def _build_lm_pair(name: str) -> LMPair:
    config = CONFIGS[name]
    shape: dict[str, Any] = {
        "n_q": config.num_codebooks,
        "card": config.bins,
        "dim": 200,
        "num_layers": 5,
        "past_context": int(LM_SECONDS * config.frame_rate),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED + 10 + NAMES.index(name))
        reference = ReferenceLM(**shape).eval()
        for linear in reference.linears:
            linear.get_parameter(
                "weight"
            ).data *= 6  # logits of a few units: some entries likely, most not
    ours = LMModel(**shape).eval()
    ours.load_state_dict(reference.state_dict())
    return LMPair(reference, ours)


def entries_used(frames: Frames) -> list[int]:
    """How many different entries of each codebook occur in `frames`."""
    codes = torch.cat([codes[0] for codes, _ in frames], dim=1)
    return [len(row.unique()) for row in codes]


def differing(ours: Frames, reference: Frames) -> Iterator[tuple[int, int, int]]:
    """`(segment, codebook, frame)` of the first differing codebook of every differing frame."""
    for segment, ((a, _), (b, _)) in enumerate(zip(ours, reference, strict=True)):
        different = a[0] != b[0]  # [K, T]
        for t in different.any(dim=0).nonzero()[:, 0].tolist():
            yield segment, int(different[:, t].nonzero()[0, 0]), t


def distance_gap(model: ReferenceModel, latent: Tensor, chosen: Tensor, other: int) -> float:
    """How much nearer one of two candidate entries is, relative to ‖x‖² + ‖e‖².

    `latent` `[D]` of one frame; `chosen` `[k + 1]`, its codes up to the codebook in question;
    `other` the entry that the other implementation took there.
    """
    books = [codebook.embed.double() for codebook in _codebooks(model)]
    residual = latent.double()
    for book, code in zip(books, chosen[:-1].tolist(), strict=False):
        residual = residual - book[code]
    one, two = books[len(chosen) - 1][[int(chosen[-1]), other]]
    gap = ((residual - one).square().sum() - (residual - two).square().sum()).abs()
    return float(gap / (residual.square().sum() + one.square().sum()))
