r"""Decoding uploads in processes of their own: FFmpeg's parsers never run inside the server.

Each upload is decoded, converted and resampled by a fresh child (`child`), forked from a warm
process (`zygote`), bounded (`limits`), fed through a file (`spool`), heard over a socket (`wire`),
and dropped after that one upload. A child that crashes is an `InvalidAudioError` of that upload and
nothing else.

    server --commands--> zygote --fork--> child
       |  \______ upload: temporary file ____/ |
       |_______________ socket: blocks ________|

`process` is one upload as the server sees it, `processes` hands out the children, one of them
forked ahead; `forked` is the server's end of a child, `warm` that of the zygote. A zygote
that dies or hangs is replaced, and the uploads that it had are decoded again from the beginning.
"""

from .decoder import Decoder
from .fork_client import DecoderError
from .pool import DecoderPool

__all__ = ["Decoder", "DecoderError", "DecoderPool"]
