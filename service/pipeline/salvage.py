"""An upload of a damaged `.ecdc` file: what is intact of it, to be decoded."""

import asyncio

from model_core.codec import Codec, Salvaged, SalvagedChunks, salvage_payload
from model_core.ecdc.header import version_of
from model_core.ecdc.v1 import Header, Layout
from model_core.ecdc.v1.chunk import max_chunk_bytes
from model_core.ecdc.v1.header import MAX_HEADER_BYTES, parse_header
from model_core.errors import TruncatedBitstreamError

from ..http.problems import Problem, ProblemCode
from .call import Call
from .decode import check_length, fill, receive_head, receive_payload
from .encode import Compressed
from .upload import Upload


async def receive_damaged(call: Call, upload: Upload) -> Compressed:
    """The whole file, of either version, damaged or not, and its codec. Takes a permit.

    Raises `Problem`, `ClientDisconnect`, and `BitstreamError` where the header is damaged or
    nothing is left.
    """
    head = await receive_head(upload)
    receive = _receive_chunks if version_of(head) == 1 else _receive_payload
    codec, salvaged = await receive(call, upload, head)
    call.note_audio(codec, salvaged.samples)
    return Compressed(codec, salvaged, upload.filename)


async def _receive_chunks(call: Call, upload: Upload, head: bytes) -> tuple[Codec, Salvaged]:
    found = parse_header(head)
    if found is None:
        raise TruncatedBitstreamError("the stream ends inside the .ecdc header")
    codec = await call.models.for_header(found[0])
    file = call.spool()
    file.write(head)
    longest = call.settings.max_audio_seconds
    most = _most_bytes(found[0], longest)
    size = await fill(file, upload.chunks, most)
    if size > most:
        message = f"the file is larger than {longest:g} s of audio, as many as are admitted"
        raise Problem(ProblemCode.TOO_LONG, message)
    kbps = codec.config.bandwidth_of(found[0].num_codebooks)
    call.claim.passes *= 1 + bool(found[0].lm)
    call.claim.estimate(min(longest, size * 8 / (1000 * kbps)))
    await call.admit()
    async with call.while_connected():
        # 2 s a megabyte at worst, in forged files of the shortest chunks. Where the client leaves,
        # the file is closed, and so the thread ends.
        enough = int(longest * codec.config.sample_rate)
        salvaged = await asyncio.to_thread(SalvagedChunks, file, enough)
    check_length(call, codec, salvaged.samples)
    return codec, salvaged


def _most_bytes(header: Header, seconds: float) -> int:
    """Bytes that a file of so much audio does not exceed."""
    layout = Layout(header)
    chunks = layout.chunks(int(seconds * layout.config.sample_rate)) + 1
    return MAX_HEADER_BYTES + chunks * max_chunk_bytes(layout)


async def _receive_payload(call: Call, upload: Upload, head: bytes) -> tuple[Codec, Salvaged]:
    codec, stored = await receive_payload(call, upload, head)
    call.claim.passes *= 1 + stored.lm
    call.claim.estimate(stored.samples / codec.config.sample_rate)
    await call.admit()
    async with call.while_connected():
        return codec, await salvage_payload(codec, stored, call.runner)
