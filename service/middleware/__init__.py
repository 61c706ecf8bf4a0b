"""What surrounds every call, as plain ASGI: request id, log line and metrics, last resort, and
answers that come before the body has."""

from .boundary import ErrorBoundary
from .linger import Linger
from .observe import Observe
from .request_id import RequestId

__all__ = ["ErrorBoundary", "Linger", "Observe", "RequestId"]
