"""The discrete codes of an upload, as JSON or as a NumPy archive."""

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, BinaryIO

import numpy as np
from pydantic import BaseModel, ConfigDict

from model_core.codec import Codec, Encoder, InputWarning
from model_core.ecdc import segments
from model_core.engine import EncodedBlock

from .call import Call
from .encode import audio_blocks, log_warnings
from .upload import Upload

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same codes give the same bytes
_CODE_BYTES = 2
_GATHER = 64  # blocks of a row in one piece


class CodesSegment(BaseModel):
    """The codes of one segment; a model without segments has one for all of the audio."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    offset: int
    """First sample."""
    samples: int
    """Samples it covers."""
    scale: float | None
    """What its samples were divided by before they were encoded; null where they were not."""
    codes: list[list[int]]
    """`[num_codebooks][frames]`, each below `codebook_size`."""


class Codes(BaseModel):
    """The discrete codes of a recording."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: str
    """The model and its weights, as an `.ecdc` header names them."""
    sample_rate: int
    """Hz; what `audio_length`, `offset` and `samples` count at."""
    audio_length: int
    """Samples."""
    bandwidth: float
    """kbps."""
    num_codebooks: int
    """Codes in a frame."""
    frame_rate: int
    """Frames a second."""
    codebook_size: int
    """Entries in each codebook."""
    segments: list[CodesSegment]
    """In time; neighbours may overlap."""


class CodesSpool:
    """The codes of a recording in a file: written a block at a time, read a codebook at a time.

    Blocks `[K, T]` come one after another in time, but a client gets the row of each codebook in
    one piece. So blocks are kept as 16-bit numbers in a file and rows are gathered from it: ten
    hours at 24 kbps are 173 MB there, and little is in memory at any time.
    """

    def __init__(self, file: BinaryIO, num_codebooks: int):
        self._file = file
        self._offsets: list[int] = []
        self.num_codebooks = num_codebooks
        self.frames: list[int] = []
        self.scales: list[float | None] = []

    def extend(self, blocks: Iterable[EncodedBlock]) -> None:
        """Append blocks, codes below 2**16; before any is read."""
        for block in blocks:
            self._offsets.append(self._file.tell())
            self._file.write(block.codes.astype("<u2").tobytes())
            self.frames.append(block.codes.shape[1])
            self.scales.append(block.scale)

    def row(self, codebook: int, blocks: range) -> Iterator[np.ndarray]:
        """The codes of one codebook in `blocks`, in pieces uint16 `[T]`."""
        for start in range(blocks.start, blocks.stop, _GATHER):
            some = range(start, min(start + _GATHER, blocks.stop))
            yield np.concatenate([self._row_of_block(codebook, block) for block in some])

    def _row_of_block(self, codebook: int, block: int) -> np.ndarray:
        size = self.frames[block] * _CODE_BYTES
        self._file.seek(self._offsets[block] + codebook * size)
        return np.frombuffer(self._file.read(size), "<u2")


class EncodedRecording:
    """A recording as codes."""

    def __init__(
        self,
        codec: Codec,
        spool: CodesSpool,
        audio_length: int,
        warnings: Sequence[InputWarning] = (),
    ):
        """`warnings`: what in the audio a higher effort would have coded better."""
        self.warnings = warnings
        self._codec = codec
        self._spool = spool
        self._audio_length = audio_length

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self._audio_length / self._codec.config.sample_rate

    def _description(self) -> dict[str, Any]:
        """All of `Codes` but the segments."""
        config = self._codec.config
        return {
            "model": self._codec.name,
            "sample_rate": config.sample_rate,
            "audio_length": self._audio_length,
            "bandwidth": config.bandwidth_of(self._spool.num_codebooks),
            "num_codebooks": self._spool.num_codebooks,
            "frame_rate": config.frame_rate,
            "codebook_size": config.bins,
        }

    def json(self) -> Iterator[bytes]:
        """A `Codes` document in pieces."""
        opening = json.dumps(self._description() | {"segments": []}).removesuffix("]}")
        yield opening.encode()
        for index, segment in enumerate(segments(self._codec.config, self._audio_length)):
            blocks = self._blocks(index)
            place = {
                "offset": segment.offset,
                "samples": segment.samples,
                "scale": self._spool.scales[blocks.start],
            }
            separator = "," if index else ""
            yield f'{separator}{json.dumps(place).removesuffix("}")}, "codes": ['.encode()
            for codebook in range(self._spool.num_codebooks):
                yield b",[" if codebook else b"["
                for number, piece in enumerate(self._spool.row(codebook, blocks)):
                    yield (("," if number else "") + ",".join(map(str, piece.tolist()))).encode()
                yield b"]"
            yield b"]}"
        yield b"]}"

    def write_npz(self, file: BinaryIO) -> None:
        """A NumPy archive: `codes` uint16 `[K, T]` of all segments one after the other,
        `segment_frames`, `segment_offsets` and `segment_samples` int64 `[S]`, `scales` float32
        `[S]` (of a model that normalises), and the other fields of `Codes`, each an array without
        axes."""
        places = list(segments(self._codec.config, self._audio_length))
        arrays = {name: np.array(value) for name, value in self._description().items()}
        arrays["segment_offsets"] = np.array([s.offset for s in places], np.int64)
        arrays["segment_samples"] = np.array([s.samples for s in places], np.int64)
        arrays["segment_frames"] = np.array([s.frames for s in places], np.int64)
        if self._codec.config.normalize:
            arrays["scales"] = np.array(self._spool.scales, np.float32)
        with zipfile.ZipFile(file, "w") as archive:
            with _entry(archive, "codes") as entry:
                shape = (self._spool.num_codebooks, sum(self._spool.frames))
                layout = {"descr": "<u2", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(entry, layout)
                for codebook in range(self._spool.num_codebooks):
                    for piece in self._spool.row(codebook, range(len(self._spool.frames))):
                        entry.write(piece.tobytes())
            for name, array in arrays.items():
                with _entry(archive, name) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)

    def _blocks(self, segment: int) -> range:
        if self._codec.config.segment is None:
            return range(len(self._spool.frames))
        return range(segment, segment + 1)


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(f"{name}.npy", _ZIP_DATE), "w", force_zip64=True)


async def encode(
    call: Call, upload: Upload, codec: Codec, num_codebooks: int, effort: int = 0
) -> EncodedRecording:
    """Encode `upload`. Raises as `audio_blocks`."""
    encoder = Encoder(codec, num_codebooks, call.runner, effort)
    spool = CodesSpool(call.spool(), num_codebooks)
    async with audio_blocks(call, upload, codec) as (blocks, _):
        async for samples in blocks:
            spool.extend(await encoder.push(samples))
        spool.extend(await encoder.finish())
    log_warnings(encoder.warnings)
    return EncodedRecording(codec, spool, encoder.samples, encoder.warnings)
