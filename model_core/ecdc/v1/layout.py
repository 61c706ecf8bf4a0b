"""What follows from the header for each chunk: samples, segments, frames, sizes in bytes.

    24 kHz: chunks of `chunk` frames, one after the other; the last one may be shorter
        |  chunk 0  |  chunk 1  |  chunk 2  | 3 |
    48 kHz: segments of 1 s, one every 0.99 s; here two in a chunk. Chunk n begins at segment 2n
        |--- 0 ---|
                 |--- 1 ---|            chunk 0 covers segments 0 and 1
                          |--- 2 ---|   chunk 1 begins where segment 2 begins

The end of the audio cuts the last chunk; at 48 kHz perhaps the one before too, by less than the
overlap.
"""

from itertools import islice

from ..header import MAX_AUDIO_LENGTH
from ..layout import Segment, segments
from .checksum import crc_of
from .header import Header

SCALE_BYTES = 4
# A coded symbol of the exact language model costs at most 24 bits; and some bytes of a coder's end.
_LM_BYTES_PER_CODE = 3
_LM_EXTRA_BYTES = 16


class Layout:
    """The chunks of files with this header."""

    def __init__(self, header: Header):
        self.header = header
        self.config = config = header.config
        stride = config.segment_stride or config.hop_length
        self.stride = header.chunk * stride
        """Samples from the start of a chunk to the start of the next."""
        self.full = self.stride - stride + (config.segment_length or stride)
        """Samples that a full chunk covers, from its start to the end of its last segment."""
        self.crc = crc_of(
            header.model.encode()
            + bytes([header.num_codebooks, header.lm])
            + header.chunk.to_bytes(2, "big")
        )
        """Every checksum after the header begins from this one, so that a chunk is never read as
        if it were of another model, weights or number of codebooks."""
        self.max_number = MAX_AUDIO_LENGTH // self.stride
        self._full_frames = self.frames(self.full, known=False)

    def segments(self, samples: int) -> list[Segment]:
        """Of a chunk that covers `samples`; offsets count from its start."""
        most = self.header.chunk if self.config.segment else 1
        return list(islice(segments(self.config, samples), most))

    def frames(self, samples: int, known: bool = True) -> int:
        """Frames of all segments of a chunk that covers `samples`."""
        if known and samples == self.full:
            return self._full_frames
        return sum(segment.frames for segment in self.segments(samples))

    def scales(self, samples: int) -> int:
        """Scales that such a chunk begins with: one for each segment of a model that normalises."""
        return len(self.segments(samples)) if self.config.normalize else 0

    def code_bytes(self, samples: int) -> tuple[int, int]:
        """Least and most bytes of such a chunk's codes; equal without a language model."""
        codes = self.frames(samples) * self.header.num_codebooks
        if self.header.lm:
            return 0, _LM_BYTES_PER_CODE * codes + _LM_EXTRA_BYTES
        size = -(-codes * self.config.bits_per_codebook // 8)
        return size, size

    def chunks(self, total: int) -> int:
        """Chunks of `total` samples."""
        return -(-total // self.stride)

    def samples(self, number: int, total: int) -> int:
        """Samples that chunk `number` covers when there are `total`."""
        return min(self.full, total - number * self.stride)
