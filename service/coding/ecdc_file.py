"""An uploaded `.ecdc` file, checked before anything is decoded."""

from model_core.ecdc import payload_bytes, read_header
from model_core.errors import TruncatedBitstreamError

from ..problems import Problem, ProblemCode
from ..upload import Upload
from .call import Call
from .compression import Compressed
from .spool import fill


async def receive_ecdc(call: Call, upload: Upload) -> Compressed:
    """The whole file, its header read, its model loaded, its length what the header implies.

    Raises `Problem`, `BitstreamError` and `ClientDisconnect`.
    """
    file = call.spool()
    size = await fill(file, upload.chunks)
    header = read_header(file)
    codec = await call.models.for_header(header)
    there = size - file.tell()
    needed = payload_bytes(codec.config, header)
    if there < needed:
        least = "at least " if header.lm else ""
        raise TruncatedBitstreamError(
            f"{there} bytes of codes; {header.audio_length} samples take {least}{needed}"
        )
    seconds = header.audio_length / codec.config.sample_rate
    if seconds > call.settings.max_audio_seconds:
        raise Problem(
            ProblemCode.TOO_LONG,
            f"{seconds:.1f} s of audio; {call.settings.max_audio_seconds:g} s are admitted",
        )
    call.heard(codec, header.audio_length)
    return Compressed(codec, header, file, there, upload.filename)
