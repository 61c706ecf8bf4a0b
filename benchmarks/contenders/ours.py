"""This project's codec: streams, so that an hour needs no more memory than ten seconds."""

import inspect
import io
from typing import Any

import torch

from model_core.codec import Codec, Decompressor, Encoder, run_steps
from model_core.model import EncodecModel

from ..clips import Clip, CodedClip
from .contender import Job, Sink


class Ours:
    """`backend` None is the codec's own choice."""

    def __init__(self, model: EncodecModel, backend: str | None = None):
        known = inspect.signature(Codec).parameters
        options: dict[str, Any] = {}
        if backend is not None and "backend" in known:
            options["backend"] = backend
        if "threads" in known:
            options["threads"] = torch.get_num_threads()
        self._codec = Codec(model, **options)

    @property
    def backend(self) -> str:
        for owner in (self._codec, self._codec.engine):
            backend = getattr(owner, "backend", None)
            if backend is not None:
                return str(getattr(backend, "name", backend))
        return "torch"

    def encoder(self, clip: Clip, bandwidth: float) -> Job:
        codebooks = clip.config.codebooks_for(bandwidth)

        def encode(sink: Sink) -> None:
            encoder = Encoder(self._codec, codebooks)
            for piece in clip.pieces():
                for block in run_steps(encoder.push(piece)):
                    sink(block.codes)
            for block in run_steps(encoder.finish()):
                sink(block.codes)

        return encode

    def decoder(self, coded: CodedClip) -> Job:
        """From the bytes of a file: unpacking them is part of it."""
        header, payload = coded.header(self._codec.name), coded.payload()

        def decode(sink: Sink) -> None:
            for samples in Decompressor(self._codec, header, io.BytesIO(payload)).blocks():
                sink(samples)

        return decode
