"""Codecs of narrow models with seeded weights, each with a language model."""

from functools import lru_cache

import torch

from model_core.codec import Codec
from model_core.codec.codec_cache import codec_of
from model_core.config import CONFIGS
from model_core.engine import EngineOptions
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel
from tests.service.narrow import narrow_lm, narrow_model


def narrow_codec(name: str, threads: int = 1) -> Codec:
    """A new codec of the model of that name."""
    return codec_of(*_models(name), options=EngineOptions(threads=threads))


@lru_cache
def _models(name: str) -> tuple[EncodecModel, LMModel]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        model = narrow_model(CONFIGS[name].with_filters(2))
        model.name = name
        return model, narrow_lm(name)
