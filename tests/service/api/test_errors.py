"""Which problem each error of the codec, the queue, the decoders and the disk is."""

import errno

import pytest

from model_core import errors
from service.api.errors import to_problem
from service.decoder.protocol import DecoderError
from service.http.problems import Problem, ProblemCode
from service.inference.scheduler import SchedulerError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidAudioError("x"), ProblemCode.UNDECODABLE_AUDIO),
        (errors.AudioTooLongError("x"), ProblemCode.TOO_LONG),
        (errors.UnsupportedBandwidthError("x"), ProblemCode.UNSUPPORTED_BANDWIDTH),
        (errors.UnknownModelError("x"), ProblemCode.UNKNOWN_MODEL),
        (errors.BitstreamError("x"), ProblemCode.BROKEN_ECDC),
        (errors.TruncatedBitstreamError("x"), ProblemCode.TRUNCATED_ECDC),
        (errors.WeightsUnavailableError("x"), ProblemCode.WEIGHTS_UNAVAILABLE),
        (errors.WeightsError("/secret/path: x"), ProblemCode.WEIGHTS_UNAVAILABLE),
        (errors.EncodecError("x"), ProblemCode.INTERNAL_ERROR),
        (ZeroDivisionError("x"), ProblemCode.INTERNAL_ERROR),
        (SchedulerError("x"), ProblemCode.UNAVAILABLE),
        (SchedulerError("x", stopping=True), ProblemCode.SHUTTING_DOWN),
        (DecoderError("x"), ProblemCode.UNAVAILABLE),
        (OSError(errno.ENOSPC, "no space", "/secret"), ProblemCode.INSUFFICIENT_STORAGE),
        (OSError(errno.EDQUOT, "quota", "/secret"), ProblemCode.INSUFFICIENT_STORAGE),
        (OSError(errno.EMFILE, "too many", "/secret"), ProblemCode.UNAVAILABLE),
        (OSError(errno.ENFILE, "too many", "/secret"), ProblemCode.UNAVAILABLE),
        (OSError(errno.EIO, "broken", "/secret"), ProblemCode.INTERNAL_ERROR),
        (Problem(ProblemCode.BUSY), ProblemCode.BUSY),
    ],
)
def test_every_error_has_its_problem_and_paths_stay_secret(
    error: Exception, code: ProblemCode
) -> None:
    problem = to_problem(error)
    assert problem.code is code
    assert "/secret" not in problem.detail
