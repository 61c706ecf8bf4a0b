"""The calls, one router a topic."""

from fastapi import APIRouter

from . import codes, compress, decompress, health, inspect, metrics, models, roundtrip

OPEN_ROUTERS: tuple[APIRouter, ...] = (health.router, metrics.router)
"""Always open."""

ROUTERS: tuple[APIRouter, ...] = (
    compress.router,
    decompress.router,
    roundtrip.router,
    codes.router,
    inspect.router,
    models.router,
)
"""Behind an API key where keys are set."""
