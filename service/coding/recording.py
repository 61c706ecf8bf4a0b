"""From an upload to samples, while it arrives."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from model_core.audio import parse_content_type
from model_core.codec import Codec
from model_core.errors import InvalidAudioError

from ..problems import Problem, ProblemCode
from ..upload import Upload
from .call import Call
from .together import alongside, until_gone


async def for_each_block(
    call: Call, upload: Upload, codec: Codec, use: Callable[[np.ndarray], Awaitable[None]]
) -> None:
    """Decode `upload` and hand its blocks, float32 `[C, n]` as `codec` takes them, to `use`.

    Reading, decoding and `use` run side by side, one block ahead of each other at most; all of
    them stop when the client leaves. Raises `Problem`, `InvalidAudioError`, `ClientDisconnect`
    and what `use` raises.
    """
    try:
        raw = parse_content_type(upload.content_type)
    except InvalidAudioError as error:
        raise Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, str(error)) from None
    config = codec.config
    fed = asyncio.Event()
    async with call.audio.open(
        config.sample_rate,
        config.channels,
        raw=raw,
        size=upload.size,
        max_seconds=call.settings.max_audio_seconds,
    ) as process:

        async def feed() -> None:
            async for chunk in upload.chunks:
                await process.feed(chunk)
            await process.end_of_input()
            fed.set()
            await until_gone(call.request)

        async def encode() -> None:
            async for block in process.blocks():
                await use(block)
                call.heard(codec, block.shape[1])
            await fed.wait()  # the decoder may be done before the body is

        await alongside(feed(), encode())
