"""An `.ecdc` file to another one, without the networks."""

import asyncio
from dataclasses import replace

from model_core.codec import open_stored, transcode

from ..http.problems import Problem, ProblemCode
from .call import Call
from .encode import Compressed


async def recode(
    call: Call,
    compressed: Compressed,
    bandwidth: float | None,
    lm: bool | None,
    version: int | None,
    verify: bool = False,
) -> Compressed:
    """The file with another bandwidth, in kbps, with the language model or without, in another
    version; None keeps what it has. With `verify`, what the language model coded is decoded again.

    Raises `Problem`, `UnsupportedBandwidthError`, `WeightsUnavailableError`, `BitstreamError`,
    `VerificationError` and `ClientDisconnect`.
    """
    stored = compressed.file
    lm = stored.lm if lm is None else lm
    codec = compressed.codec
    if lm and not codec.has_lm:
        raise Problem(ProblemCode.LM_UNAVAILABLE, f"there is no language model for {codec.name}")
    books = stored.num_codebooks if bandwidth is None else codec.config.codebooks_for(bandwidth)
    file = call.spool()
    async with call.while_connected():
        wanted = stored.version if version is None else version
        async for data in transcode(codec, stored, wanted, books, lm, call.runner, verify):
            file.write(data)
            await asyncio.sleep(0)  # plain codes never wait: others have their turn between pieces
    return replace(compressed, stored=open_stored(file))
