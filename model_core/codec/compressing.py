"""Samples to codes, and codes to the payload of an `.ecdc` file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..ecdc import BitPacker, Header, scale_to_bytes
from ..engine import EncodedBlock, EncodeItem, StreamState, check_effort
from ..errors import InvalidAudioError
from .codec import Codec, LanguageModel
from .corrections import CancellingSegments, InputWarning, OffsetFilter, OffsetMeter, least_scale
from .stored import Stored0
from .verification import verify_segment
from .work import INLINE, Runner, Work

if TYPE_CHECKING:
    from .entropy import LMEncoder

FIRST_STEP = 7
"""Frames that a causal stream begins with: the padding before it is made of them."""

LOUDEST = 1e9
"""Samples beyond ±LOUDEST (1 is full scale) may overflow the networks or a segment's scale."""


class Encoder:
    """Cuts a stream of samples into blocks and has `runner` encode them, as many at a time as the
    engine does well.

    Where the cuts fall depends on the count of samples alone, not on how they were pushed.
    """

    def __init__(
        self,
        codec: Codec,
        num_codebooks: int,
        runner: Runner = INLINE,
        effort: int = 0,
        step: int | None = None,
        latents: bool = False,
    ):
        """`effort` 0 is the reference's; from 1 on the audio is corrected (`corrections`), and the
        codes are searched with a beam (`BEAMS`). With `latents` the blocks have these in place of
        codes. `step`: for live audio of a causal model on a CPU,
        the frames of a block; each is encoded as soon as it is whole, the first ones together
        (`FIRST_STEP`). Raises `ValueError` for another effort or a step that cannot be."""
        check_effort(effort)
        self._codec = codec
        self._effort = effort
        self._latents = latents
        self._runner = runner
        self._num_codebooks = num_codebooks
        engine, causal = codec.engine, codec.config.causal
        self._block = engine.block_samples
        self._stride = codec.config.segment_stride or self._block
        self._blocks_at_once = engine.blocks_at_once if causal else engine.max_batch
        self._first = self._block
        self._live = step is not None
        if step is not None:
            if not causal or not 1 <= step <= engine.block_frames:
                raise ValueError(f"a causal model has steps of 1 to {engine.block_frames} frames")
            self._block = self._stride = step * codec.config.hop_length
            self._first = self._block * -(-FIRST_STEP // step)
            self._blocks_at_once = 1
        self._state = StreamState()
        rate = codec.config.sample_rate
        self._filter = OffsetFilter(codec.config.channels, rate) if effort else None
        self._offset, self._cancelling = OffsetMeter(rate), CancellingSegments()
        # Of samples that are not encoded yet; joined once, however many were pushed.
        self._pieces = [np.zeros((codec.config.channels, 0), np.float32)]
        self.samples = 0

    async def push(self, samples: np.ndarray) -> list[EncodedBlock]:
        """Take samples float32 `[C, n]`; returns the blocks that are complete.

        Raises `InvalidAudioError` for another shape or type, and for samples that are not finite
        or beyond `LOUDEST`.
        """
        _check(samples, self._codec.config.channels)
        self.samples += samples.shape[1]
        self._pieces.append(self._filter.push(samples) if self._filter else samples.copy())
        waiting = sum(piece.shape[1] for piece in self._pieces)
        complete = (waiting - self._first) // self._stride + 1
        if complete < self._blocks_at_once:
            return []
        return await self._encode(complete - complete % self._blocks_at_once)

    async def finish(self) -> list[EncodedBlock]:
        """End the stream; returns its last blocks. Raises `InvalidAudioError` if it was empty."""
        if not self.samples:
            raise InvalidAudioError("there are no samples to encode")
        if self._filter is not None:
            self._pieces.append(self._filter.finish())
        return await self._encode(None)

    @property
    def warnings(self) -> list[InputWarning]:
        """What there was in the samples that effort 1 would have put right; once the stream has
        ended. Nobody looks for it in steps."""
        found = (self._offset.warning(), self._cancelling.warning()) if not self._effort else ()
        return [warning for warning in found if warning is not None]

    async def _encode(self, count: int | None) -> list[EncodedBlock]:
        """The next `count` blocks; with None all that is left, and the stream ends. Blocks of a
        causal model continue one another; segments stand alone."""
        task, config = self._codec.encode_task, self._codec.config
        waiting = np.concatenate(self._pieces, axis=1)
        works: list[Work] = []
        while waiting.shape[1] if count is None else len(works) < count:
            size, self._first = self._first, self._block
            last = count is None and waiting.shape[1] <= size
            samples = np.ascontiguousarray(waiting[:, :size])
            state = self._state if config.causal else StreamState()
            item = EncodeItem(
                samples, self._num_codebooks, last, state, self._effort, self._latents
            )
            if config.normalize and self._effort:
                item.least_scale = least_scale(samples)
            works.append(Work(task, item, samples.shape[1] / config.sample_rate))
            waiting = waiting[:, self._stride + size - self._block :]
        self._pieces = [waiting]
        blocks: list[EncodedBlock] = await self._runner.run(works, in_order=config.causal)
        if not self._effort and not self._live:
            for work, block in zip(works, blocks, strict=True):
                self._offset.add(work.item.samples)
                if block.scale is not None:
                    self._cancelling.add(work.item.samples, block.scale)
        return blocks


def _check(samples: np.ndarray, channels: int) -> None:
    if samples.ndim != 2 or samples.shape[0] != channels:
        raise InvalidAudioError(
            f"expected samples of shape [{channels}, n], got {list(samples.shape)}"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        raise InvalidAudioError(f"samples must be floating point, not {samples.dtype}")
    # as Python's floats: in float16, LOUDEST would be infinity
    least, greatest = float(samples.min(initial=0)), float(samples.max(initial=0))
    if not (least >= -LOUDEST and greatest <= LOUDEST):  # so that NaN does not pass
        raise InvalidAudioError(
            f"the audio has samples that are NaN, infinite or beyond ±{LOUDEST:g}"
        )


class Packer:
    """Encoded blocks in, the payload of a version 0 file out; `runner` runs the language model."""

    def __init__(
        self,
        codec: Codec,
        num_codebooks: int,
        lm: bool,
        runner: Runner = INLINE,
        verify: bool = False,
    ):
        """With `verify`, what the language model coded of a segment, or of all that a causal model
        encoded, is held back until it has been decoded again, and `push` and `finish` raise
        `VerificationError`. Raises `WeightsUnavailableError` for want of a language model."""
        self._codec = codec
        self._num_codebooks = num_codebooks
        self._lm = codec.require_lm() if lm else None
        self._runner = runner
        self._packer = BitPacker(codec.config.bits_per_codebook)
        self._lm_encoder: LMEncoder | None = None
        self._verify = verify
        self._held = bytearray()  # with the codes that it stands for
        self._held_codes: list[np.ndarray] = []

    def header(self, samples: int) -> Header:
        """Of a file of so many samples."""
        name = self._codec.name if self._lm is None else self._lm.name
        return Header(name, samples, self._num_codebooks, self._lm is not None)

    async def push(self, blocks: Sequence[EncodedBlock]) -> bytes:
        """Take blocks: segments, or codes of a causal model; returns payload bytes."""
        parts: list[bytes] = []
        for block in blocks:
            if block.scale is not None:
                parts.append(scale_to_bytes(block.scale))
            parts.append(await self._codes(block))
            if self._codec.config.segment is not None:
                parts.append(await self._end_segment())
        return b"".join(parts)

    async def _codes(self, block: EncodedBlock) -> bytes:
        if self._lm is None:
            return self._packer.push(block.codes.T.ravel())
        cost = block.codes.shape[1] / self._codec.config.frame_rate
        item = partial(self._encode_with, self._lm, block.codes)
        coded: bytes
        (coded,) = await self._runner.run([Work(self._codec.lm_encode_task, item, cost)])
        if not self._verify:
            return coded
        self._held += coded
        self._held_codes.append(block.codes.astype(np.uint16))
        return b""

    def _encode_with(self, lm: LanguageModel, codes: np.ndarray, threads: int) -> bytes:
        self._lm_encoder = self._lm_encoder or lm.encoder(self._num_codebooks)
        return self._lm_encoder.encode(codes)

    async def _end_segment(self) -> bytes:
        if self._lm is None or self._lm_encoder is None:
            return self._packer.flush()
        coded, self._lm_encoder = bytes(self._held) + self._lm_encoder.finish(), None
        if self._verify:
            await verify_segment(self._codec, self._lm, coded, self._held_codes, self._runner)
            self._held.clear()
            self._held_codes.clear()
        return coded

    async def finish(self) -> bytes:
        """End the payload; returns its last bytes."""
        return await self._end_segment() if self._codec.config.segment is None else b""


@dataclass(frozen=True)
class Recording:
    """What a file says of what it was made from; see `ecdc.v1.Header`."""

    rate: int | None = None
    channels: int | None = None
    name: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


UNKNOWN = Recording()


class Compressor:
    """Samples in, payload bytes out; the header is known at the end. `runner` runs the networks.
    What `ChunkCompressor` also takes of a recording has no place in the file."""

    def __init__(
        self,
        codec: Codec,
        bandwidth: float,
        lm: bool = False,
        runner: Runner = INLINE,
        effort: int = 0,
        recording: Recording = UNKNOWN,
        verify: bool = False,
    ):
        """`verify`: as of `Packer`. Raises `UnsupportedBandwidthError`, `WeightsUnavailableError`
        for want of an LM, and `ValueError` for an effort that there is not (see `Encoder`)."""
        books = codec.config.codebooks_for(bandwidth)
        self._packer = Packer(codec, books, lm, runner, verify)
        self._encoder = Encoder(codec, books, runner, effort)

    @property
    def header(self) -> Header:
        """The header for the samples pushed so far."""
        return self._packer.header(self._encoder.samples)

    @property
    def warnings(self) -> list[InputWarning]:
        """As `Encoder`, once the stream has ended."""
        return self._encoder.warnings

    async def push(self, samples: np.ndarray) -> bytes:
        """Take samples float32 `[C, n]`; returns payload bytes."""
        return await self._packer.push(await self._encoder.push(samples))

    @property
    def samples(self) -> int:
        """As of `ChunkCompressor`."""
        return self._encoder.samples

    async def finish(self, original_samples: int = 0) -> bytes:
        """End the stream; returns its last payload bytes."""
        last = await self._packer.push(await self._encoder.finish())
        return last + await self._packer.finish()

    def stored(self, payload: BinaryIO) -> Stored0:
        """The file, ended, whose payload was written to `payload`, alone there."""
        return Stored0(self.header, payload, 0, payload.seek(0, 2))
