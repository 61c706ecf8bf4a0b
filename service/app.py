"""The factory of the service: everything that serves it (uvicorn, tests, Ray) calls this."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from model_core import __version__

from . import openapi, problem_handlers
from .admission import Admission
from .api import OPEN_ROUTERS, ROUTERS
from .auth import require_key
from .coding.spool import check_spool
from .decoder.pool import DecoderPool
from .decoder.protocol import DecoderError
from .device_probe import device_probe
from .metrics import Metrics
from .middleware import ErrorBoundary, Linger, Observe, RequestId
from .models import Models, choose_device
from .scheduler import PATIENCE, Scheduler
from .settings import Settings

logger = structlog.get_logger(__name__)


def create_app(
    settings: Settings | None = None, on_fatal: Callable[[], None] = lambda: None
) -> FastAPI:
    """The service as an ASGI app; nothing runs until its lifespan begins.

    `on_fatal` is called, on the event loop, when the service can work no more: a model could not
    be loaded, a worker or the device has died, or no audio can be decoded. Raises `ValueError` for
    a CUDA device that is not here and a spool folder that cannot be written.
    """
    settings = settings or Settings()
    device = choose_device(settings.device)
    check_spool(settings.spool_dir)
    metrics = Metrics()
    for name in settings.models:
        metrics.model_ready(name, False)
    app = FastAPIOffline(  # serves what /docs needs itself: browsers may have no way out
        title="encodec-service",
        version=__version__,
        summary="EnCodec neural audio compression over HTTP",
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=openapi.TAGS,
        lifespan=_lifespan,
        redirect_slashes=False,  # a redirected upload would be sent twice
    )
    app.state.settings = settings
    app.state.metrics = metrics
    admission = app.state.admission = Admission(
        settings.max_requests, settings.max_waiting, settings.admission_timeout
    )
    models = app.state.models = Models(settings, device, on_fatal, metrics.model_ready)
    app.state.scheduler = Scheduler(
        settings.worker_threads,
        device,
        metrics,
        on_fatal,
        settings.step_timeout,
        probe=lambda: device_probe(device) if models.state == "ready" else None,
    )
    app.state.audio = DecoderPool(settings.spool_dir, on_fatal)
    app.state.on_fatal = on_fatal
    for router in OPEN_ROUTERS:
        app.include_router(router)
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(require_key)])
    problem_handlers.install(app)
    app.add_middleware(ErrorBoundary, stopping=lambda: admission.closed)
    app.add_middleware(Observe, metrics=metrics)
    app.add_middleware(RequestId)
    app.add_middleware(Linger, stopping=lambda: admission.closed)
    _describe_itself(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Begins with nothing loaded, so that `/health/live` answers at once."""
    app.state.scheduler.start()
    app.state.models.start()
    audio = asyncio.create_task(_start_audio(app))
    try:
        yield
    finally:
        app.state.admission.close()
        app.state.models.stop()
        await asyncio.wait([audio], timeout=PATIENCE)
        await app.state.audio.close()
        await app.state.scheduler.stop()


async def _start_audio(app: FastAPI) -> None:
    try:
        await app.state.audio.start()
    except DecoderError as error:
        logger.critical("audio cannot be decoded", error=str(error))
        app.state.on_fatal()


def _describe_itself(app: FastAPI) -> None:
    for page in app.routes:  # of the documentation; the calls are in routers
        if isinstance(page, APIRoute) and page.methods == {"GET"}:
            page.methods = {"GET", "HEAD"}
    described = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            openapi.complete(described())
        return described()

    app.openapi = document  # type: ignore[method-assign]
