"""The calls, one router a topic."""

from fastapi import APIRouter

from . import codec, codes, inspect, models, operations

OPEN_ROUTERS: tuple[APIRouter, ...] = (operations.health_router, operations.metrics_router)
"""Always open."""

ROUTERS: tuple[APIRouter, ...] = (
    codec.router,
    codes.router,
    inspect.router,
    models.router,
)
"""Behind an API key where keys are set."""
