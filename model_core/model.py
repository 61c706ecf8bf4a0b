"""The codec under the reference's names: constructors that find weights, and the language model.

Source: reference `model.py`. The network itself is `nn.network`.
"""

from __future__ import annotations

from pathlib import Path

import torch

from .checkpoints import remember, shared_registry
from .checkpoints.load import load_lm, load_network
from .config import ENCODEC_24KHZ, ENCODEC_48KHZ, ModelConfig
from .errors import WeightsUnavailableError
from .nn.lm import LMModel
from .nn.network import UNSET, EncodecNetwork


class EncodecModel(EncodecNetwork):
    """A codec working on waveforms `[B, channels, T]`, as the reference offers it."""

    def get_lm_model(self) -> LMModel:
        """The language model made for this model's weights.

        Raises `WeightsUnavailableError` when there is none.
        """
        if self.name == UNSET:
            raise WeightsUnavailableError("weights that were not loaded have no language model")
        registry = shared_registry(self.weights)
        lm = registry.fetch_lm(registry.find_exact(self.name))
        return load_lm(lm, next(self.parameters()).device)

    @staticmethod
    def encodec_model_24khz(
        pretrained: bool = True, repository: Path | None = None
    ) -> EncodecModel:
        """The causal mono model at 24 kHz; see `checkpoints` for where its weights come from.

        With `repository`, a folder, the weights are those in it, and `decompress` finds them
        there for the rest of the process.
        """
        return _build(ENCODEC_24KHZ, pretrained, repository)

    @staticmethod
    def encodec_model_48khz(
        pretrained: bool = True, repository: Path | None = None
    ) -> EncodecModel:
        """The non-causal stereo model at 48 kHz."""
        return _build(ENCODEC_48KHZ, pretrained, repository)


def load_model(
    name: str, weights: str | None = None, device: torch.device | str = "cpu"
) -> EncodecModel:
    """The model to code with, in eval mode, its `name` as a header gives it.

    `name` is a model's name or, for exactly those weights, `NAME:<8 hex>`; `weights` is a value
    of `ENCODEC_WEIGHTS` (None: the environment's, or `auto`). Weights from a folder are found
    again by this process when it decodes; another process needs `ENCODEC_WEIGHTS`, or loads them
    too. Raises `UnknownModelError`, `WeightsUnavailableError`, `WeightsError`.
    """
    found = shared_registry(weights).find(name)
    model = load_network(found, EncodecModel, device)
    remember(found)
    return model


def _build(config: ModelConfig, pretrained: bool, repository: Path | None) -> EncodecModel:
    if repository is not None and not pretrained:
        raise ValueError("a repository holds pretrained weights: pretrained must be true")
    if not pretrained:
        return EncodecModel(config).eval()
    weights = None if repository is None else str(Path(repository).absolute())
    return load_model(config.name, weights)
