"""An uploaded `.ecdc` file, checked before anything is decoded."""

from io import BytesIO

from model_core.ecdc import payload_bytes, read_header
from model_core.ecdc.header import MAX_HEADER_BYTES
from model_core.errors import TruncatedBitstreamError

from ..problems import Problem, ProblemCode
from ..upload import Upload
from .call import Call
from .compression import Compressed
from .spool import fill


async def receive_ecdc(call: Call, upload: Upload) -> Compressed:
    """The whole file, its length what the header implies. What the header says against it shows
    before the rest is taken, and what follows the codes is not kept.

    Raises `Problem`, `BitstreamError` and `ClientDisconnect`.
    """
    head = bytearray()
    async for chunk in upload.chunks:
        head += chunk
        if len(head) >= MAX_HEADER_BYTES:
            break
    start = BytesIO(head)
    header = read_header(start)
    codec = await call.models.for_header(header)
    seconds = header.audio_length / codec.config.sample_rate
    if seconds > call.settings.max_audio_seconds:
        raise Problem(
            ProblemCode.TOO_LONG,
            f"{seconds:.1f} s of audio; {call.settings.max_audio_seconds:g} s are admitted",
        )
    needed = payload_bytes(codec.config, header)
    file = call.spool()
    file.write(start.read())
    there = await fill(file, upload.chunks, None if header.lm else needed)
    if there < needed:
        least = "at least " if header.lm else ""
        raise TruncatedBitstreamError(
            f"{there} bytes of codes; {header.audio_length} samples take {least}{needed}"
        )
    call.heard(codec, header.audio_length)
    size = there if header.lm else needed
    return Compressed(codec, header, file, size, upload.filename)
