"""How audio is compressed, and what does it."""

from dataclasses import dataclass

from .chunked import ChunkCompressor
from .codec import Codec
from .compressing import UNKNOWN, Compressor, Recording
from .work import INLINE, Runner


@dataclass(frozen=True, kw_only=True)
class Coding:
    """What can be asked of a compression, in either format."""

    bandwidth: float
    """kbps."""
    lm: bool = False
    """Whether a language model codes the codes."""
    format: int = 0
    """0, the reference's, or 1, that of `docs/format.md`."""
    effort: int = 0
    """See `Encoder`."""
    verify: bool = False
    """Whether what the language model coded is decoded again."""

    def compressor(
        self, codec: Codec, runner: Runner = INLINE, recording: Recording = UNKNOWN
    ) -> Compressor | ChunkCompressor:
        """What makes the file. Raises `UnsupportedBandwidthError`, `WeightsUnavailableError` for
        want of a language model, and `BitstreamError` for a recording that no header can hold."""
        made = ChunkCompressor if self.format else Compressor
        given = codec, self.bandwidth, self.lm, runner, self.effort, recording
        return made(*given, verify=self.verify)
