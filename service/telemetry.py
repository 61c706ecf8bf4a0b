"""Traces by OpenTelemetry, sent as OTLP over HTTP: spans of each request and of the batches that
its blocks were in. Imported only where `tracing` is on; needs the extra `otel`.

    POST /compress ------------------------------------------------------------>
      receive ------------------>
      permit ->  decode ----------------------->          write -->
                   queue ->           queue ->
                   batch    ---->     (link to a batch in the trace of another request)

Where its spans go, how many and under what names is said by the standard variables `OTEL_*`.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import Scope

from model_core import __version__

from .timings import Attributes, Phase

TRACE_RESPONSE = "traceresponse"
"""The header of an answer that says its trace (W3C Trace Context, level 2)."""

_PATIENCE = 5.0  # s that a stopping service waits for its last spans to be sent


class Telemetry:
    """Makes the traces of an app's requests."""

    def __init__(self) -> None:
        ours = {
            "service.name": "encodec-service",
            "service.version": __version__,
            "service.instance.id": uuid4().hex,
        }
        # What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) is stronger.
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("service", __version__)

    def begin(self, scope: Scope, method: str, attributes: Attributes) -> "RequestTrace":
        """The trace of a request that begins, which goes on with its client's (`traceparent`)."""
        attributes = {
            **attributes,
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        parent = propagate.extract(Headers(scope=scope))
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        return RequestTrace(self._tracer, span)

    def close(self) -> None:
        """Send what is left, for a few seconds at most; blocks."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(_PATIENCE)


class RequestTrace:
    """The trace of one request: its own span, and those of its phases below it."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span):
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())
        self._clock = time.time_ns() - time.monotonic_ns()
        found = span.get_span_context()
        self.id = trace.format_trace_id(found.trace_id)
        """In hexadecimal."""
        self.span_id = trace.format_span_id(found.span_id)
        """Of the request's own span."""
        self.sampled = found.trace_flags.sampled
        """Whether it is sent."""

    @property
    def response_headers(self) -> dict[str, str]:
        """What the answer says of it."""
        return {TRACE_RESPONSE: f"00-{self.id}-{self.span_id}-{int(self.sampled):02x}"}

    @contextmanager
    def current(self) -> Iterator[None]:
        """A block whose own requests to others carry this trace (`propagate.inject`)."""
        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield

    def phase(self, name: Phase, begun: float, ended: float, attributes: Attributes) -> None:
        """A phase has ended. From any thread; times are `time.monotonic`."""
        self._child(name, begun, ended, attributes)

    def batch(
        self,
        members: Mapping["RequestTrace", float],
        begun: float,
        ended: float,
        attributes: Attributes,
    ) -> None:
        """A batch has ended that had works of these traces, which had waited since then: a span of
        this trace, one of them, and linked to all; each has a span of its wait in the queue, which
        is linked to the batch."""
        links = [Link(member._span.get_span_context()) for member in members]
        batch = self._child("batch", begun, ended, attributes, links)
        for member, since in members.items():
            member._child("queue", since, begun, {}, [Link(batch)])

    def _child(
        self,
        name: str,
        begun: float,
        ended: float,
        attributes: Attributes,
        links: list[Link] | None = None,
    ) -> trace.SpanContext:
        span = self._tracer.start_span(
            name, self._context, attributes=attributes, links=links, start_time=self._time(begun)
        )
        span.end(self._time(ended))
        return span.get_span_context()

    def _time(self, monotonic: float) -> int:
        """Nanoseconds since 1970."""
        return self._clock + round(monotonic * 1e9)

    def end(self, method: str, route: str, status: int, attributes: Attributes) -> None:
        """The answer has ended."""
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.route": route, "http.response.status_code": status, **attributes}
        )
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", str(status))
        self._span.end()
