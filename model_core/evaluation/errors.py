"""Errors of an evaluation."""

from ..errors import EncodecError


class EvaluationError(EncodecError):
    """There is nothing to evaluate, or a needed package is not installed."""


class PeerError(EncodecError):
    """Another codec failed on a clip; the message says why."""
