"""What every error of the codec, the queue, the decoders and the disk is to the client."""

import errno

from model_core.errors import (
    AudioTooLongError,
    BitstreamError,
    EncodecError,
    InvalidAudioError,
    TruncatedBitstreamError,
    UnknownModelError,
    UnsupportedBandwidthError,
    WeightsError,
    WeightsUnavailableError,
)

from ..decoder.protocol import DecoderError
from ..http.problems import Problem, ProblemCode
from ..inference.scheduler import SchedulerError

KNOWN: tuple[type[Exception], ...] = (Problem, EncodecError, SchedulerError)
"""Errors that are expected, and answered without a traceback in the log."""

# The first that fits decides, so subclasses come before their bases.
_FROM_CODEC: tuple[tuple[type[EncodecError], ProblemCode], ...] = (
    (AudioTooLongError, ProblemCode.TOO_LONG),
    (InvalidAudioError, ProblemCode.UNDECODABLE_AUDIO),
    (UnsupportedBandwidthError, ProblemCode.UNSUPPORTED_BANDWIDTH),
    (UnknownModelError, ProblemCode.UNKNOWN_MODEL),
    (TruncatedBitstreamError, ProblemCode.TRUNCATED_ECDC),
    (BitstreamError, ProblemCode.BROKEN_ECDC),
    (WeightsUnavailableError, ProblemCode.WEIGHTS_UNAVAILABLE),
    (DecoderError, ProblemCode.UNAVAILABLE),
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def to_problem(error: Exception) -> Problem:
    """The problem that an error is to the client; anything unknown is a 500."""
    if isinstance(error, Problem):
        return error
    for kind, code in _FROM_CODEC:
        if isinstance(error, kind):
            return Problem(code, str(error))
    if isinstance(error, WeightsError):
        return Problem(ProblemCode.WEIGHTS_UNAVAILABLE, "the weights' file here is not intact")
    if isinstance(error, SchedulerError):
        code = ProblemCode.SHUTTING_DOWN if error.stopping else ProblemCode.UNAVAILABLE
        return Problem(code, str(error))
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        detail = "there is no room on the disk for what the request needs"
        return Problem(ProblemCode.INSUFFICIENT_STORAGE, detail)
    if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS:
        return Problem(ProblemCode.UNAVAILABLE, "the server has too many files open")
    return Problem(ProblemCode.INTERNAL_ERROR, "an unexpected error; the service's log says more")
