"""Hugging Face `transformers`, with weights converted by `model_core.checkpoints`."""

from importlib import import_module
from typing import Any

import torch
from torch.nn import functional as F

from model_core.checkpoints.hub import config_to_hub, to_hub
from model_core.checkpoints.load import state_of
from model_core.model import EncodecModel

from ..clips import Clip, CodedClip
from .contender import Job, MissingContenderError, Sink


class Hub:
    """Raises `MissingContenderError`."""

    backend = "torch"

    def __init__(self, model: EncodecModel):
        try:
            package = import_module("transformers")
        except ImportError as error:
            raise MissingContenderError("transformers is not installed") from error
        config = package.EncodecConfig(**config_to_hub(model.config))
        self._model: Any = package.EncodecModel(config).eval()
        tensors = to_hub(state_of(model))
        self._model.load_state_dict({n: torch.from_numpy(a) for n, a in tensors.items()})

    def encoder(self, clip: Clip, bandwidth: float) -> Job:
        x = torch.from_numpy(clip.whole())[None]

        def encode(sink: Sink) -> None:
            with torch.inference_mode():
                encoded = self._model.encode(x, bandwidth=bandwidth, return_dict=True)
            last = len(encoded.audio_codes) - 1
            for index, codes in enumerate(encoded.audio_codes):
                padding = encoded.last_frame_pad_length if index == last else 0
                sink(codes[0, :, : codes.shape[-1] - padding].numpy())

        return encode

    def decoder(self, coded: CodedClip) -> Job:
        frames = list(coded.frames())
        longest = frames[0][0].shape[1]
        missing = longest - frames[-1][0].shape[1]
        padded = [
            F.pad(torch.from_numpy(codes), (0, longest - codes.shape[1])) for codes, _ in frames
        ]
        codes = torch.stack(padded)[:, None]
        scales = [None if scale is None else torch.tensor([[scale]]) for _, scale in frames]

        def decode(sink: Sink) -> None:
            with torch.inference_mode():
                audio = self._model.decode(
                    codes, scales, last_frame_pad_length=missing, return_dict=True
                ).audio_values
            sink(audio[0, :, : coded.clip.samples].numpy())

        return decode
