"""Files to other files without running the networks: another version, fewer codebooks, with a
language model or without."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from ..ecdc.v1 import drop_codebooks
from ..engine import EncodedBlock
from ..errors import UnsupportedBandwidthError
from .chunked import ChunkPacker, new_header
from .codec import Codec
from .compressing import Packer, Recording
from .stored import Stored, Stored1
from .work import INLINE, Runner


async def transcode(
    codec: Codec,
    stored: Stored,
    version: int,
    num_codebooks: int,
    lm: bool,
    runner: Runner = INLINE,
    verify: bool = False,
) -> AsyncGenerator[bytes]:
    """The bytes of `stored` as a file of `version`, with its first `num_codebooks` codebooks, coded
    with the language model or not.

    What only version 1 can say is kept from version 1 to version 1. With `verify`, what the
    language model coded is decoded again first, and `VerificationError` may be raised. Raises
    `UnsupportedBandwidthError` for more codebooks than there are, `WeightsUnavailableError` for
    want of a language model, `BitstreamError`.
    """
    if num_codebooks > stored.num_codebooks:
        raise UnsupportedBandwidthError(
            f"the file has {stored.num_codebooks} codebooks, not {num_codebooks}: "
            "only encoding the audio again would give more"
        )
    if isinstance(stored, Stored1) and version == 1 and not stored.lm and not lm:
        stored.payload.seek(0)
        for data in drop_codebooks(stored.payload, num_codebooks):
            yield data
        return
    blocks = _kept(stored.codes(codec, runner), num_codebooks)
    if version == 1:
        async for data in _chunked(codec, stored, blocks, num_codebooks, lm, runner, verify):
            yield data
        return
    packer = Packer(codec, num_codebooks, lm, runner, verify)
    yield packer.header(stored.samples).to_bytes()
    async for block in blocks:
        yield await packer.push([block])
    yield await packer.finish()


async def _chunked(
    codec: Codec,
    stored: Stored,
    blocks: AsyncIterator[EncodedBlock],
    num_codebooks: int,
    lm: bool,
    runner: Runner,
    verify: bool,
) -> AsyncGenerator[bytes]:
    if isinstance(stored, Stored1):
        before = stored.header
        recording = Recording(before.rate, before.channels, before.name, before.tags)
        chunk = before.chunk if stored.lm == lm else None
        header = replace(new_header(codec, num_codebooks, lm, recording, chunk), gain=before.gain)
        original = stored.file.original_samples
    else:
        header, original = new_header(codec, num_codebooks, lm), 0
    packer = ChunkPacker(codec, header, runner, verify)
    # The end of the audio may cut the last block; of segments, which overlap, the last two.
    held = 1 if codec.config.segment is None else 2
    waiting: list[EncodedBlock] = []
    async for block in blocks:
        waiting.append(block)
        if len(waiting) > held and (data := await packer.push([waiting.pop(0)])):
            yield data
    yield await packer.finish(waiting, stored.samples, original)


async def _kept(
    blocks: AsyncGenerator[EncodedBlock], num_codebooks: int
) -> AsyncGenerator[EncodedBlock]:
    async with aclosing(blocks):
        async for block in blocks:
            yield EncodedBlock(block.codes[:num_codebooks], block.scale)
