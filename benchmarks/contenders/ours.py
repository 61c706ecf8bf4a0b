"""This project's codec: it streams, so an hour needs no more memory than ten seconds."""

import io

import torch

from model_core.codec import Decompressor, Encoder, iterate_now, run_now
from model_core.codec.codec_cache import codec_of
from model_core.engine import EngineOptions
from model_core.model import EncodecModel

from ..clips import Clip, CodedClip
from .contender import Job, Sink


class Ours:
    """`backend` None is the codec's own choice; the number of threads is torch's."""

    def __init__(self, model: EncodecModel, backend: str | None = None):
        """Raises `EncodecError` for a backend that does not work here."""
        self._codec = codec_of(
            model, options=EngineOptions(backend, threads=torch.get_num_threads())
        )

    @property
    def backend(self) -> str:
        return self._codec.engine.name

    def encoder(self, clip: Clip, bandwidth: float) -> Job:
        codebooks = clip.config.codebooks_for(bandwidth)
        pieces = list(clip.pieces())  # all are views of one

        def encode(sink: Sink) -> None:
            encoder = Encoder(self._codec, codebooks)
            for piece in pieces:
                for block in run_now(encoder.push(piece)):
                    sink(block.codes)
            for block in run_now(encoder.finish()):
                sink(block.codes)

        return encode

    def decoder(self, coded: CodedClip) -> Job:
        """Decodes the bytes of a file: unpacking is part of the work."""
        header, payload = coded.header(self._codec.name), coded.payload()

        def decode(sink: Sink) -> None:
            for samples in iterate_now(
                Decompressor(self._codec, header, io.BytesIO(payload)).blocks()
            ):
                sink(samples)

        return decode
