"""Who is measured: this project, the reference implementation and `transformers`.

Each has the same weights and the same work to do.
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
