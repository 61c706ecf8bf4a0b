"""The answer that is decoded audio."""

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from model_core.audio import wav_size

from ..coding.call import Call
from ..coding.compression import Compressed, Decoding
from ..coding.together import while_connected
from .accept import choose
from .bodies import WAV_TYPE
from .headers import attachment, audio_headers

_NAMES = (WAV_TYPE, "audio/x-wav", "audio/wave", "audio/vnd.wave", "application/octet-stream")


def require_wav(request: Request) -> None:
    """Raises `Problem` 406 for a client that takes other formats alone."""
    choose(request.headers.get("accept", ""), _NAMES)


async def wav_response(call: Call, compressed: Compressed, rescale: bool = False) -> Response:
    """The audio of `compressed`; the first block is decoded before this returns."""
    decoding = Decoding(call, compressed)
    if rescale:
        await while_connected(call.request, decoding.rescale())
    await while_connected(call.request, decoding.begin())
    channels, samples = compressed.codec.config.channels, compressed.header.audio_length
    headers = audio_headers(compressed.codec, compressed.header, compressed.size)
    headers["Content-Length"] = str(wav_size(channels, samples))
    headers["Content-Disposition"] = attachment(compressed.filename, ".wav")
    return StreamingResponse(decoding.wav(), headers=headers, media_type=WAV_TYPE)
