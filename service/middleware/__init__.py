"""What surrounds every call, as plain ASGI: request id, log line and metrics, last resort."""

from .boundary import ErrorBoundary
from .observe import Observe
from .request_id import RequestId

__all__ = ["ErrorBoundary", "Observe", "RequestId"]
