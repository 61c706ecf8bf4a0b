"""What a version 1 file is: everything in it is verified."""

from model_core.ecdc.v1 import Parser
from model_core.errors import BitstreamError

from .inspection import Inspection, Original, frames_of, weights_of


class Chunked:
    """A file that passes by in pieces."""

    def __init__(self, head: bytes):
        """Raises `BitstreamError` for a header that is not valid."""
        self._parser = Parser()
        self._damage: str | None = None
        self._size = 0
        self._size += len(head)
        self._parser.feed(head)
        self.header = self._parser.layout.header
        self._read()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        self._size += len(chunk)
        if self._damage is None:
            self._parser.feed(chunk)
            self._read()

    def _read(self) -> None:
        try:
            for _ in self._parser.chunks():
                pass
        except BitstreamError as error:
            self._damage = str(error)

    def inspection(self, available: bool) -> Inspection:
        """What the whole file is; `available`: whether it can be decoded here."""
        parser, header, config = self._parser, self.header, self.header.config
        if self._damage is None:
            try:
                if not parser.end():
                    self._damage = "it has no end: it still grows, or was cut off"
            except BitstreamError as error:
                self._damage = str(error)
        name, weights, lm_weights = weights_of(header.model, bool(header.lm))
        samples = parser.progress.samples
        seconds = samples / config.sample_rate
        original = parser.index.original_samples if parser.index else 0
        return Inspection(
            version=1,
            model=name,
            weights=weights,
            lm_weights=lm_weights,
            weights_available=available,
            duration_seconds=seconds,
            audio_length=samples,
            sample_rate=config.sample_rate,
            channels=config.channels,
            codebooks=header.num_codebooks,
            bandwidth_kbps=config.bandwidth_of(header.num_codebooks),
            kbps=self._size * 8 / seconds / 1000 if samples else 0,
            lm=header.lm > 0,
            frames=frames_of(config, samples) if samples else 0,
            header_bytes=parser.header_bytes,
            payload_bytes=self._size - parser.header_bytes,
            expected_payload_bytes=None,
            trailing_bytes=None,
            intact=self._damage is None,
            note=self._damage and f"{self._damage}; what comes before is {seconds:g} s of audio",
            chunks=parser.progress.chunks,
            original=Original(
                sample_rate=header.rate,
                channels=header.channels,
                samples=original or None,
                name=header.name,
            ),
            tags=list(header.tags),
        )
