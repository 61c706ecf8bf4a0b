"""The reference implementation: PyPI `encodec`, eager, the whole audio at once."""

import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from model_core.model import EncodecModel

from ..clips import Clip, CodedClip
from .contender import Job, MissingContenderError, Sink


def reference_model(name: str, weights: dict[str, Tensor]) -> Any:
    """Its `EncodecModel` with these weights. Raises `MissingContenderError`."""
    try:
        package = import_module("encodec")
    except ImportError as error:
        raise MissingContenderError("encodec 0.1.1 is not installed") from error
    factory = getattr(package.EncodecModel, name.replace("encodec_", "encodec_model_"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # for its old weight_norm
        model = factory(pretrained=False)
    model.load_state_dict(weights)
    model.name = name
    return model


class Reference:
    """Raises `MissingContenderError`."""

    backend = "torch"

    def __init__(self, model: EncodecModel):
        self._model = reference_model(model.config.name, model.state_dict())

    def encoder(self, clip: Clip, bandwidth: float) -> Job:
        x = torch.from_numpy(clip.whole())[None]

        def encode(sink: Sink) -> None:
            self._model.set_target_bandwidth(bandwidth)
            with torch.inference_mode():
                for codes, _ in self._model.encode(x):
                    sink(codes[0].numpy())

        return encode

    def decoder(self, coded: CodedClip) -> Job:
        frames = [
            (torch.from_numpy(codes)[None], None if scale is None else torch.tensor([[scale]]))
            for codes, scale in coded.frames()
        ]

        def decode(sink: Sink) -> None:
            with torch.inference_mode():
                audio = self._model.decode(frames)
            sink(audio[0, :, : coded.clip.samples].numpy())

        return decode
