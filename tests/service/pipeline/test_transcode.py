"""A file is recoded on the event loop, between the work of others."""

import asyncio
import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from model_core.codec import open_stored
from model_core.codec.work import INLINE
from model_core.config import CONFIGS
from model_core.ecdc.v1 import Header, Writer
from service.pipeline.encode import Compressed
from service.pipeline.transcode import recode


def test_others_have_their_turn_between_pieces() -> None:
    """Plain codes need no work that could be waited for."""
    writer = Writer(Header("encodec_24khz", 4, 0, 1))
    data = writer.header() + b"".join(writer.chunk(320, bytes(5)) for _ in range(500))
    stored = open_stored(io.BytesIO(data + writer.finish()))
    config = CONFIGS["encodec_24khz"]
    codec: Any = SimpleNamespace(config=config, name="encodec_24khz", has_lm=False)
    call: Any = SimpleNamespace(spool=io.BytesIO, while_connected=nullcontext, runner=INLINE)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> None:
        waiting = asyncio.create_task(others())
        made = await recode(call, Compressed(codec, stored, None), 1.5, None, None)
        waiting.cancel()
        assert made.file.samples == stored.samples

    asyncio.run(run())
    assert turns > 400
