"""For operators: is the process alive, can it work, and what does it measure?"""

import asyncio
from contextlib import suppress
from typing import Literal

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel

from ..decoder.pool import DecoderPool
from ..http.documentation import problem_responses
from ..http.problems import Problem, ProblemCode
from ..inference.admission import Admission
from ..inference.device_watch import device_memory
from ..inference.model_pool import ModelPool
from ..inference.scheduler import Scheduler
from ..metrics import Metrics
from ..pipeline.result_cache import ResultCache
from .responses import accepted

_METRICS_TYPES = ("text/plain", "application/openmetrics-text")

logger = structlog.get_logger(__name__)

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
    responses=problem_responses(
        ProblemCode.STARTING, ProblemCode.UNAVAILABLE, ProblemCode.SHUTTING_DOWN
    ),
)
async def ready(request: Request) -> Health:
    """200 once every model is loaded and has really run on its device and audio can be decoded,
    and while all workers live, the device works and the disk for uploads can be written, until it
    is told to stop; else 503."""
    await require_ready(request.app)
    return Health()


async def require_ready(app: FastAPI) -> None:
    """Raises `Problem` where the service should be sent no work; logs it when that changes."""
    state = app.state
    try:
        await _require_ready(app)
    except Problem as problem:
        if problem.code is ProblemCode.UNAVAILABLE and state.fault is None:
            state.fault = problem.detail
            logger.warning("not ready", reason=state.fault)
        raise
    if state.fault is not None:
        logger.warning("ready again", after=state.fault)
        state.fault = None


async def _require_ready(app: FastAPI) -> None:
    models: ModelPool = app.state.models
    scheduler: Scheduler = app.state.scheduler
    decoders: DecoderPool = app.state.decoders
    if app.state.leaving:
        raise Problem(ProblemCode.SHUTTING_DOWN)
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
    encode, content_type = choose_encoder(accepted(request))
    registry = (await measure(request.app)).registry
    return Response(encode(registry), headers={"Content-Type": content_type})


async def _is_ready(app: FastAPI) -> bool:
    try:
        await require_ready(app)
    except Problem:
        return False
    return True


async def measure(app: FastAPI) -> Metrics:
    """The metrics of an app, its gauges as they are now."""
    measured: Metrics = app.state.metrics
    ready = asyncio.create_task(_is_ready(app))  # both ask the disk, which may hang
    admission: Admission = app.state.admission
    measured.permits_waiting.set(admission.waiting)
    measured.permits_held.set(admission.active)
    measured.open.set(admission.open)
    measured.queue_audio.set(admission.audio)
    measured.admitted_audio_limit.set(admission.audio_limit or 0)
    scheduler: Scheduler = app.state.scheduler
    measured.work_speed.set(scheduler.pace.speed or 0)
    results: ResultCache | None = app.state.results
    measured.result_bytes.set(results.bytes if results else 0)
    decoders: DecoderPool = app.state.decoders
    measured.decoder_children.set(decoders.children)
    with suppress(OSError):  # readiness says it
        spool = await decoders.spool_use()
        measured.spool_bytes.set(spool.used)
        measured.spool_free_bytes.set(spool.free)
    measured.ready.set(await ready)
    device: str = app.state.device
    for state, size in device_memory(device).items():
        measured.device_memory_bytes.labels(device, state).set(size)
    return measured
