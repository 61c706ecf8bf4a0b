"""Client of encodec-service: EnCodec audio compression over HTTP."""

from .answers import Answer, AsyncStreamedAnswer, Facts, StreamedAnswer, Target
from .async_client import AsyncClient
from .client import Client
from .errors import ConnectionFailedError, EncodecClientError, NoJobsError, ProblemError
from .options import Model, Output
from .retries import Retries
from .sources import AsyncSource, Progress, Source, Transferred
from .types import Codes, CodesSegment, Inspection, Job, JobProgress, ModelInfo

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncSource",
    "AsyncStreamedAnswer",
    "Client",
    "Codes",
    "CodesSegment",
    "ConnectionFailedError",
    "EncodecClientError",
    "Facts",
    "Inspection",
    "Job",
    "JobProgress",
    "Model",
    "ModelInfo",
    "NoJobsError",
    "Output",
    "ProblemError",
    "Progress",
    "Retries",
    "Source",
    "StreamedAnswer",
    "Target",
    "Transferred",
]
