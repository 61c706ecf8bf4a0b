"""The contenders: this project, the reference implementation and `transformers`.

All have the same weights and do the same work.
"""

from .contender import Contender, Job, MissingContenderError, Sink
from .listing import NAMES, OURS, PEERS, build

__all__ = [
    "NAMES",
    "OURS",
    "PEERS",
    "Contender",
    "Job",
    "MissingContenderError",
    "Sink",
    "build",
]
