"""What a language model coded is decoded again before it leaves (`verify`)."""

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BitstreamError, VerificationError
from .codec import Codec, LanguageModel
from .work import Runner, Work

if TYPE_CHECKING:
    from .entropy import LMDecoder

_CHANGED = "what the language model coded does not decode to the same codes: this machine fails"


def encode_verified(
    lm: LanguageModel, chunks: Sequence[np.ndarray], threads: int = 1
) -> list[bytes]:
    """Chunks `[K, T]` of a version 1 file. Raises `VerificationError`."""
    coded = lm.encode_chunks(chunks, threads)
    lengths = [codes.shape[1] for codes in chunks]
    try:
        decoded = lm.decode_chunks(len(chunks[0]), list(zip(coded, lengths, strict=True)), threads)
    except BitstreamError as error:
        raise VerificationError(_CHANGED) from error
    if not all(map(np.array_equal, decoded, chunks)):
        raise VerificationError(_CHANGED)
    return coded


async def verify_segment(
    codec: Codec, lm: LanguageModel, coded: bytes, blocks: Sequence[np.ndarray], runner: Runner
) -> None:
    """Whether a segment of a version 0 file, or the whole of a causal model's, decodes to the codes
    `[K, T]` of `blocks`, here and now. Raises `VerificationError`."""
    decoder = lm.decoder(len(blocks[0]), BytesIO(coded))
    for codes in blocks:
        frames = codes.shape[1]
        item = partial(_decode, decoder, frames)
        work = Work(codec.lm_decode_task, item, frames / codec.config.frame_rate)
        try:
            (decoded,) = await runner.run([work])
        except BitstreamError as error:
            raise VerificationError(_CHANGED) from error
        if not np.array_equal(decoded, codes):
            raise VerificationError(_CHANGED)


def _decode(decoder: "LMDecoder", frames: int, threads: int) -> np.ndarray:
    """On one thread: the bits of version 0 depend on it."""
    return decoder.decode(frames)
