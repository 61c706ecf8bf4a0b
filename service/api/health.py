"""Is the process alive, and can it work?"""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from ..decoder.pool import DecoderPool
from ..models import Models
from ..problems import Problem, ProblemCode, problem_responses
from ..scheduler import Scheduler

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.head("/live", include_in_schema=False)
@router.get("/live", operation_id="getLive", summary="Is the process alive")
async def live() -> Health:
    """200 as long as the process answers at all."""
    return Health()


@router.head("/ready", include_in_schema=False)
@router.get(
    "/ready",
    operation_id="getReady",
    summary="Can it take work",
    responses=problem_responses(ProblemCode.STARTING, ProblemCode.UNAVAILABLE),
)
async def ready(request: Request) -> Health:
    """200 once every model is loaded and has really run on its device and audio can be decoded,
    and while all workers live and the device works; else 503."""
    models: Models = request.app.state.models
    scheduler: Scheduler = request.app.state.scheduler
    audio: DecoderPool = request.app.state.audio
    if models.state == "failed":
        raise Problem(ProblemCode.UNAVAILABLE, "the models could not be loaded")
    if models.state == "starting":
        raise Problem(ProblemCode.STARTING, "the models are being loaded", retry_after=5)
    if not audio.running:
        raise Problem(ProblemCode.STARTING, "the audio decoder is starting", retry_after=1)
    if scheduler.refusal is not None:
        raise Problem(ProblemCode.UNAVAILABLE, scheduler.refusal)
    return Health()
