"""The factory of the service: everything that serves it (uvicorn, tests, Ray) calls this."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from model_core import __version__

from .api import codec, errors, inspect, jobs, models, operations, weights
from .api.page import page_router
from .decoder.pool import DecoderPool
from .decoder.protocol import DecoderError
from .http import documentation
from .http.auth import require_key
from .http.cors import add_cors
from .http.drain_body import DrainBody
from .http.keys import read_keys
from .http.request_log import RequestLog
from .http.request_target import CheckRequest
from .inference.admission import Admission
from .inference.device_watch import device_probe
from .inference.model_pool import ModelPool, choose_device
from .inference.scheduler import PATIENCE, Scheduler
from .inference.shares import Limits
from .jobs.jobs import open_jobs
from .live import routes as live
from .live.relay import Relays
from .metrics import Metrics
from .pipeline.call import check_spool
from .pipeline.result_cache import ResultCache
from .settings import Settings

if TYPE_CHECKING:
    from .telemetry import Telemetry

logger = structlog.get_logger(__name__)


def create_app(
    settings: Settings | None = None,
    on_fatal: Callable[[], None] = lambda: None,
    on_ready: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The service as an ASGI app; nothing runs until its lifespan begins.

    `on_fatal` is called, on the event loop, when the service can no longer work: a model could not
    be loaded, a worker or the device has died, or no audio can be decoded; `on_ready`, there too,
    when all models are warm. Raises `ValueError` for a CUDA device that is not here, for a spool
    folder, a file of API keys and a store of jobs that cannot be used, and for traces without the
    packages for them.
    """
    settings = settings or Settings()
    device = choose_device(settings.device)
    check_spool(settings.spool_dir)
    metrics = Metrics()
    telemetry = app_telemetry(settings)
    for name in settings.models:
        metrics.model_ready(name, False)
    app = FastAPIOffline(  # serves what /docs needs itself: browsers may have no way out
        title="encodec-service",
        version=__version__,
        summary="EnCodec neural audio compression over HTTP",
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=documentation.TAGS,
        lifespan=_lifespan,
        redirect_slashes=False,  # a redirected upload would be sent twice
    )
    app.state.settings = settings
    app.state.device = device
    app.state.metrics = metrics
    app.state.telemetry = telemetry
    app.state.on_fatal = on_fatal
    app.state.leaving = False  # told to stop, but not stopping yet
    app.state.fault = None  # why it could not work when that was last asked
    keys = app.state.keys = read_keys(settings)

    def on_model(name: str) -> None:
        metrics.model_ready(name)
        if pool.state == "ready":
            on_ready()

    pool = app.state.models = ModelPool(
        settings, device, on_fatal, on_model, lambda name: metrics.model_loads.labels(name).inc()
    )
    app.state.scheduler = Scheduler(
        settings.worker_threads,
        device,
        metrics,
        on_fatal,
        settings.step_timeout,
        probe=lambda: device_probe(device) if pool.state == "ready" else None,
    )
    limits = Limits(
        settings.max_requests,
        settings.max_waiting,
        settings.admission_timeout,
        settings.max_open,
        settings.max_live,
        settings.max_admitted_audio,
        settings.max_admitted_time,
    )
    pace = app.state.scheduler.pace
    admission = app.state.admission = Admission(limits, pace, metrics, len(keys))
    app.state.weight_files = weights.WeightFiles()
    app.state.decoders = DecoderPool(
        settings.spool_dir, on_fatal, settings.decoder_timeout, settings.decoder_memory or None
    )

    app.state.relays = Relays(settings.max_listeners, len(keys))
    app.state.results = None
    if settings.result_cache_bytes:
        app.state.results = ResultCache(settings.result_cache_bytes, settings.result_cache_seconds)
    app.state.jobs = open_jobs(
        app,
        settings,
        metrics,
        lambda: pool.state == "ready" and not (app.state.leaving or admission.closed),
        len(keys),
    )

    documentation.install(app)
    app.include_router(operations.router)
    for calls in (codec, inspect, models, weights, jobs):
        app.include_router(calls.router, dependencies=[Depends(require_key)])
    app.include_router(live.router)
    if settings.page:
        app.include_router(page_router())
    errors.install(app, jobs.router.routes)

    # From the innermost to the outermost.
    app.add_middleware(errors.ErrorMiddleware, admission=admission)
    app.add_middleware(CheckRequest, allowed_origins=settings.cors_origins)
    if settings.cors_origins:
        add_cors(app, settings.cors_origins)
    app.add_middleware(RequestLog, metrics=metrics, telemetry=telemetry)
    app.add_middleware(DrainBody, stopping=lambda: admission.closed, metrics=metrics)
    return app


def app_telemetry(settings: Settings) -> "Telemetry | None":
    """What traces requests, where the settings ask for it. Raises `ValueError`."""
    if not settings.tracing:
        return None
    try:
        from .telemetry import Telemetry
    except ImportError as error:
        hint = "pip install 'encodec-service[otel]'"
        raise ValueError(f"tracing needs the packages of OpenTelemetry ({hint}): {error}") from None
    return Telemetry()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Begins with nothing loaded, so that `/health/live` answers at once."""
    app.state.scheduler.start()
    app.state.models.start()
    decoders = asyncio.create_task(_start_decoders(app))
    if app.state.jobs is not None:
        app.state.jobs.start()
    try:
        yield
    finally:
        app.state.admission.close()
        if app.state.jobs is not None:
            await app.state.jobs.stop()
        app.state.models.stop()
        await asyncio.wait([decoders], timeout=PATIENCE)
        await app.state.decoders.close()
        await app.state.scheduler.stop()
        if app.state.telemetry is not None:
            await asyncio.to_thread(app.state.telemetry.close)


async def _start_decoders(app: FastAPI) -> None:
    try:
        await app.state.decoders.start()
    except DecoderError as error:
        logger.critical("audio cannot be decoded", error=str(error))
        app.state.on_fatal()
