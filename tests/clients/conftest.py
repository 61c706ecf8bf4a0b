"""The running service of the service's tests."""

from tests.service.conftest import plain_tracebacks, server, weights

__all__ = ["plain_tracebacks", "server", "weights"]
