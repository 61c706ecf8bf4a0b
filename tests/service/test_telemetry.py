"""Traces: a real process sends its spans to a real receiver."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry import propagate
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.app import create_app
from service.settings import Settings
from service.timings import MOST_BATCHES
from tests.faults.media import long_wav
from tests.service.calls import compressed
from tests.service.in_process import get
from tests.service.otlp import Receiver, attributes, receiving
from tests.service.process import FORK, SERVICE, Process, started
from tests.service.sounds import encoded, wav

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@dataclass
class Traced:
    """A service that is traced."""

    process: Process
    client: httpx.Client
    receiver: Receiver

    def spans(self, trace_id: str) -> dict[str, list[Span]]:
        """Those of a trace by name, once the request's own span is there, which is the last."""
        self.process.wait_for(
            lambda: any(s.kind == Span.SPAN_KIND_SERVER for s in self.receiver.spans(trace_id))
        )
        found: dict[str, list[Span]] = {}
        for span in self.receiver.spans(trace_id):
            found.setdefault(span.name, []).append(span)
        return found


@pytest.fixture(scope="module")
def traced(weights: Path) -> Iterator[Traced]:
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        with (
            started(FORK, weights, "--threads", "1", "--tracing", "true") as process,
            process.ready() as client,
        ):
            yield Traced(process, client, receiver)


def trace_of(answer: httpx.Response) -> str:
    """The id of an answer's trace."""
    found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", answer.headers["traceresponse"])
    assert found is not None
    return found[1]


def test_a_compression_is_a_span_with_its_phases_below(traced: Traced) -> None:
    answer = traced.client.post(
        "/compress",
        content=encoded("m4a", 3.0),
        headers={**TRACEPARENT, "X-Request-ID": "my-request"},
    )
    assert answer.status_code == 200
    assert trace_of(answer) == TRACE
    spans = traced.spans(TRACE)
    assert set(spans) == {
        *("POST /compress", "receive", "permit", "decode", "queue", "batch", "write")
    }
    (request,) = spans.pop("POST /compress")
    assert request.parent_span_id.hex() == PARENT
    said = attributes(request)
    assert said["http.route"] == "/compress"
    assert said["http.response.status_code"] == 200
    assert said["http.response.body.size"] == len(answer.content)
    assert said["encodec.request_id"] == "my-request"
    assert said["encodec.audio_seconds"] == pytest.approx(3.0, abs=0.1)
    assert said["encodec.batches"] == len(spans["batch"])
    for span in (span for found in spans.values() for span in found):
        assert span.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000
    assert int(attributes(spans["receive"][0])["http.request.body.size"]) > 1000
    assert len(spans["queue"]) == len(spans["batch"])
    audio = sum(float(attributes(span)["encodec.audio_seconds"]) for span in spans["batch"])
    assert audio == pytest.approx(3.0, abs=0.5)
    (receive,), (decode,), (write,) = spans["receive"], spans["decode"], spans["write"]
    assert receive.start_time_unix_nano <= decode.start_time_unix_nano
    last = max(span.end_time_unix_nano for span in spans["batch"])
    assert last <= write.start_time_unix_nano


def test_batches_and_the_waits_of_their_requests_are_linked(traced: Traced) -> None:
    """However they were batched: each request's wait names a batch that names the request."""
    with ThreadPoolExecutor(4) as threads:
        audio = wav(4.0)
        answers = list(
            threads.map(lambda _: traced.client.post("/compress", content=audio), range(4))
        )
    ids = [trace_of(answer) for answer in answers]
    assert len(set(ids)) == 4
    traces = {trace_id: traced.spans(trace_id) for trace_id in ids}
    batches = {span.span_id: span for spans in traces.values() for span in spans.get("batch", ())}
    for spans in traces.values():
        (request,) = spans["POST /compress"]
        assert spans["queue"]
        for wait in spans["queue"]:
            (link,) = wait.links
            batch = batches[link.span_id]
            assert request.span_id in [member.span_id for member in batch.links]
            between = batch.start_time_unix_nano - wait.end_time_unix_nano
            assert abs(between) < 1_000_000  # ns: each request reads the clock anew


def test_the_log_lines_of_a_request_have_its_trace(traced: Traced) -> None:
    trace_id = trace_of(traced.client.post("/compress", content=b"no audio"))
    traced.process.wait_for(
        lambda: any(
            line.get("trace_id") == trace_id and line["event"] == "request" and line["span_id"]
            for line in traced.process.logged()
        )
    )


def test_a_problem_is_a_span_with_its_status(traced: Traced) -> None:
    answer = traced.client.post("/decompress", content=b"no file")
    assert answer.status_code == 400
    (request,) = traced.spans(trace_of(answer))["POST /decompress"]
    assert attributes(request)["http.response.status_code"] == 400
    assert request.status.code == Status.STATUS_CODE_UNSET  # it is the client's error


def test_the_resource_says_whose_spans_they_are(traced: Traced) -> None:
    compressed(traced.client, wav())
    traced.process.wait_for(lambda: bool(traced.receiver.resources))
    resource = traced.receiver.resources[0]
    assert resource["service.name"] == "encodec-service"
    assert resource["service.version"]
    assert resource["deployment.environment.name"] == "test"
    assert set(traced.receiver.paths) == {"/v1/traces"}


def test_probes_are_not_traced(traced: Traced) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert "traceresponse" not in traced.client.get(path).headers


def test_a_request_that_its_client_does_not_sample_is_not_sent(traced: Traced) -> None:
    unsampled = "a" * 32
    headers = {"traceparent": f"00-{unsampled}-{PARENT}-00"}
    answer = traced.client.post("/compress", content=wav(), headers=headers)
    assert answer.headers["traceresponse"].startswith(f"00-{unsampled}-")
    after = trace_of(traced.client.post("/compress", content=wav()))
    assert traced.spans(after)
    assert not traced.receiver.spans(unsampled)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "garbage",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
    ],
)
def test_a_traceparent_that_is_none_is_ignored(traced: Traced, garbage: str) -> None:
    headers = {"traceparent": garbage, "tracestate": "x" * 4000}
    answer = traced.client.post("/compress", content=wav(), headers=headers)
    assert answer.status_code == 200
    assert trace_of(answer) not in (TRACE, "0" * 32)


def test_a_long_file_has_a_bounded_trace(traced: Traced) -> None:
    """The request's own span still counts every batch."""
    audio = long_wav(MOST_BATCHES * 3 + 60, 24_000)
    spans = traced.spans(trace_of(traced.client.post("/compress", content=audio)))
    (request,) = spans["POST /compress"]
    assert int(attributes(request)["encodec.batches"]) >= len(spans["batch"])
    assert len(spans["batch"]) <= MOST_BATCHES


def test_the_latency_of_a_traced_request_has_its_trace_as_an_exemplar(traced: Traced) -> None:
    trace_id = trace_of(traced.client.post("/compress", content=wav()))
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    traced.process.wait_for(
        lambda: f'# {{trace_id="{trace_id}"}}' in traced.client.get("/metrics", headers=accept).text
    )
    assert "trace_id" not in traced.client.get("/metrics").text


@pytest.mark.anyio
async def test_what_a_request_asks_of_others_goes_on_with_its_trace() -> None:
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        app = create_app(Settings(device="cpu", tracing=True))

        @app.get("/outgoing")
        async def outgoing() -> dict[str, str]:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            return headers

        answer = await get(app, "/outgoing", headers=TRACEPARENT)
        span_id = answer.headers["traceresponse"].split("-")[2]
        assert answer.json()["traceparent"] == f"00-{TRACE}-{span_id}-01"
        assert span_id != PARENT
        app.state.telemetry.close()
        assert [span.span_id.hex() for span in receiver.spans(TRACE)][-1] == span_id


def test_the_last_spans_are_sent_when_the_service_stops(weights: Path) -> None:
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
        with (
            started(FORK, weights, "--tracing", "true") as process,
            process.ready() as client,
        ):
            trace_id = trace_of(client.post("/compress", content=wav()))
            process.popen.send_signal(signal.SIGTERM)
            assert process.wait() == 0
        assert receiver.spans(trace_id)


def test_a_collector_that_is_away_is_no_failure(weights: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with (
            started(FORK, weights, "--tracing", "true") as process,
            process.ready() as client,
        ):
            assert client.post("/compress", content=wav()).status_code == 200
            process.popen.send_signal(signal.SIGTERM)
            assert process.wait() == 0


def test_without_tracing_there_is_none_and_nothing_is_imported_for_it(weights: Path) -> None:
    """(FastAPI itself imports the API of OpenTelemetry.)"""
    program = "import sys, service.serve; sys.exit('opentelemetry.sdk.trace' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
    with started(FORK, weights) as process, process.ready() as client:
        answer = client.post("/compress", content=wav(), headers=TRACEPARENT)
        assert answer.status_code == 200
        assert "traceresponse" not in answer.headers


def test_tracing_without_its_packages_is_a_wrong_setting(tmp_path: Path) -> None:
    """A folder that hides them stands for a machine that lacks them."""
    hidden = tmp_path / "opentelemetry" / "sdk"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [*SERVICE, "--tracing", "true", "--port", "0", "--device", "cpu"],
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "encodec-service[otel]" in done.stderr
