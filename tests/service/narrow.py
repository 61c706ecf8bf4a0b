"""Narrow models with seeded weights, so that a server under test is ready in a second.

The 24 kHz model has a language model, the 48 kHz one has none.
"""

from pathlib import Path

import torch
from torch import Tensor

from model_core.checkpoints.save import save_lm, save_weights
from model_core.config import CONFIGS, LMConfig, ModelConfig
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel
from tests.peers import signal


def write_narrow_models(folder: Path) -> None:
    """Weights for both models and a language model, in `folder`."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for number, config in enumerate(CONFIGS.values()):
            torch.manual_seed(7 + number)
            path = save_weights(narrow_model(config.with_filters(2)), folder, torch.float32)
            if config.name == "encodec_24khz":
                lm = narrow_lm(config.name)
                name = f"{config.name}:{path.stem.rpartition('-')[2]}"
                save_lm(lm, name, folder, torch.float32)


def narrow_lm(name: str) -> LMModel:
    """A language model with a clear opinion."""
    lm = LMModel.from_config(LMConfig(name, dim=16, num_layers=1)).eval()
    with torch.no_grad():
        for linear in lm.linears:
            linear.get_parameter("weight").mul_(6)
    return lm


def narrow_model(config: ModelConfig) -> EncodecModel:
    """A model whose codes are of the kind that trained ones give."""
    model = EncodecModel(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight_g"):
            parameter.mul_(1.8)  # or the signal dies from layer to layer
    heard = signal(config.channels, 6 * config.sample_rate, config.sample_rate, seed=99)
    residual = model.encoder(heard[None])[0].t()
    for codebook in model.quantizer.codebooks:
        residual = _fill(codebook.codebook.embed, residual)
    return model


def _fill(embed: Tensor, residual: Tensor) -> Tensor:
    """Entries near residuals that occur; returns what they leave over."""
    chosen = residual[torch.randint(0, len(residual), (len(embed),))]
    embed.copy_(chosen * 0.8 + 0.1 * residual.std() * torch.randn_like(embed))
    nearest = torch.cdist(residual, embed).argmin(dim=1)
    return residual - embed[nearest]
