"""Measurements for Prometheus."""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from ..admission import Admission
from ..metrics import Metrics

_TYPES = ("text/plain", "application/openmetrics-text")

router = APIRouter(tags=["metrics"])


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Measurements for Prometheus",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in _TYPES}}},
)
async def metrics(request: Request) -> Response:
    """In the text format of Prometheus, or OpenMetrics by `Accept`."""
    measured: Metrics = request.app.state.metrics
    admission: Admission = request.app.state.admission
    measured.permits_waiting.set(admission.waiting)
    measured.permits_held.set(admission.active)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(measured.registry), headers={"Content-Type": content_type})
