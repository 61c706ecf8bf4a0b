"""For operators: is the process alive, can it work, and what does it measure?"""

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel

from ..decoder.pool import DecoderPool
from ..http.documentation import problem_responses
from ..http.problems import Problem, ProblemCode
from ..inference.admission import Admission
from ..inference.model_pool import ModelPool
from ..inference.scheduler import Scheduler
from ..metrics import Metrics
from ..pipeline.result_cache import ResultCache

_METRICS_TYPES = ("text/plain", "application/openmetrics-text")

router = APIRouter()


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", operation_id="getLive", summary="Is the process alive", tags=["health"])
async def live() -> Health:
    """200 as long as the process answers at all."""
    return Health()


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready",
    operation_id="getReady",
    summary="Can it take work",
    tags=["health"],
    responses=problem_responses(ProblemCode.STARTING, ProblemCode.UNAVAILABLE),
)
async def ready(request: Request) -> Health:
    """200 once every model is loaded and has really run on its device and audio can be decoded,
    and while all workers live, the device works and the disk for uploads can be written; else
    503."""
    models: ModelPool = request.app.state.models
    scheduler: Scheduler = request.app.state.scheduler
    decoders: DecoderPool = request.app.state.decoders
    models.require_ready()
    if not decoders.running:
        raise Problem(ProblemCode.STARTING, "the audio decoder is starting", retry_after=1)
    try:
        await decoders.check_disk()
    except OSError as error:
        detail = f"the disk for uploads cannot be written: {error.strerror or 'it hangs'}"
        raise Problem(ProblemCode.UNAVAILABLE, detail) from error
    if scheduler.refusal is not None:
        raise Problem(ProblemCode.UNAVAILABLE, scheduler.refusal)
    return Health()


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Measurements for Prometheus",
    tags=["metrics"],
    response_class=Response,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in _METRICS_TYPES}}},
)
async def metrics(request: Request) -> Response:
    """In the text format of Prometheus, or OpenMetrics by `Accept`."""
    measured: Metrics = request.app.state.metrics
    admission: Admission = request.app.state.admission
    scheduler: Scheduler = request.app.state.scheduler
    measured.permits_waiting.set(admission.waiting)
    measured.permits_held.set(admission.active)
    measured.open.set(admission.open)
    measured.queue_audio.set(admission.audio)
    measured.admitted_audio_limit.set(admission.audio_limit or 0)
    measured.work_speed.set(scheduler.pace.speed or 0)
    results: ResultCache | None = request.app.state.results
    measured.result_bytes.set(results.bytes if results else 0)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(measured.registry), headers={"Content-Type": content_type})
