"""Seeded weights at full width that keep the signal's level and use every codebook.

torch's initial weights are unsuitable: the signal vanishes from layer to layer (the rest may slow
to compute with), and all codes are 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model_core.config import CONFIGS, LMConfig, ModelConfig
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel
from model_core.training.codec.codebooks import sample_vectors

from .clips import sound

_GAIN = 1.8
_LM_GAIN = 6
_FIT_SECONDS = 12
_FIT_SEED = 5
"""Not the clips' seed: codebooks fitted to the same audio would leave nothing but rounding errors
for the later ones."""


def seeded_model(name: str, config: ModelConfig | None = None) -> EncodecModel:
    """The model `name` in eval mode, with the same weights at every call; `config` may set another
    width."""
    config = config or CONFIGS[name]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(20221024)
        model = EncodecModel(config, name).eval()
        for key, parameter in model.named_parameters():
            if key.endswith("weight_g"):
                parameter.mul_(_GAIN)
        seconds = _FIT_SECONDS * config.sample_rate
        samples = sound(config.channels, seconds, config.sample_rate, seed=_FIT_SEED)
        heard, _ = model.normalised(torch.from_numpy(samples)[None])
        residual = model.encoder(heard)[0].t()
        for layer in model.quantizer.codebooks:
            residual = _fill(layer.codebook.embed, residual)
            layer.codebook.inited.fill_(1)
    return model


def seeded_lm(name: str) -> LMModel:
    """A language model for the model `name`. As in a trained one, a few entries are likely and most
    are not, but it has learned nothing: files do not get smaller."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(20221025)
        lm = LMModel.from_config(LMConfig(name)).eval()
        for key, parameter in lm.linears.named_parameters():
            if key.endswith("weight"):
                parameter.mul_(_LM_GAIN)
    return lm


def _fill(embed: Tensor, residual: Tensor) -> Tensor:
    """Fill `embed` with entries around the mean residual, all at one distance, towards existing
    residuals (most residuals would choose a nearer entry); returns what they leave, `[N, D]`."""
    mean = residual.mean(dim=0)
    far = 0.7 * (residual - mean).norm(dim=1).median()
    towards = F.normalize(sample_vectors(residual, len(embed)) - mean)
    towards += 0.5 * torch.randn_like(embed) / embed.shape[1] ** 0.5
    embed.copy_(mean + far * F.normalize(towards))
    return residual - embed[torch.cdist(residual, embed).argmin(dim=1)]
