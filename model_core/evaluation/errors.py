"""What only an evaluation can get wrong."""

from ..errors import EncodecError


class EvaluationError(EncodecError):
    """There is nothing to evaluate, or something it needs is not installed."""


class PeerError(EncodecError):
    """Another codec failed on a clip; the message says why."""
