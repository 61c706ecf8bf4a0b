"""Settings that contradict each other or do nothing, variables that are no settings, and what
settings name: the file of API keys, the store of jobs, the collector of traces."""

import importlib.util
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from starlette.types import Receive, Scope, Send

from model_core.cores import usable_cores

from ..http.keys import read_keys
from ..jobs.jobs import open_jobs
from ..metrics import Metrics
from ..serve import is_loopback
from ..settings import Settings, variable
from ..variables import unknown_variables
from .findings import Finding, fail, ok, warn

_OF_JOBS = {
    *("jobs_database", "max_jobs", "max_job_bytes", "max_running_jobs", "job_seconds", "job_lease"),
    *("input_urls", "output_urls", "webhook_urls", "webhook_secret", "webhook_retry"),
    "url_timeout",
}
_COLLECTOR = "http://localhost:4318"  # the default of OpenTelemetry
_PATIENCE = 2.0  # s


def check_settings(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each contradiction, or that there is none."""
    found = [*_contradictions(settings), *_variables(environment)]
    yield from found or [ok("settings", "no contradictions")]
    yield from _tracing(settings, environment)


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Whether the API keys can be read, where a file has any."""
    if settings.api_keys_file is None:
        return
    try:
        count = len(read_keys(settings))
    except ValueError as error:
        yield fail("keys", str(error), "correct the file, or unset ENCODEC_API_KEYS_FILE")
    else:
        yield ok("keys", f"{count}, with those of {settings.api_keys_file}")


def check_jobs(settings: Settings) -> Iterator[Finding]:
    """Whether jobs can be kept. Those that are there are left alone."""
    if settings.jobs_dir is None:
        return
    try:
        jobs = open_jobs(_no_app, settings, Metrics(), lambda: False, keys=0)
    except ValueError as error:
        advice = "correct ENCODEC_JOBS_DIR and ENCODEC_JOBS_DATABASE, or unset them"
        yield fail("jobs", str(error), advice)
        return
    if jobs is not None:
        jobs.close()
    yield ok("jobs", f"they can be kept in {settings.jobs_dir}")


async def _no_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands for the service, which the doctor does not let work on jobs."""


def _contradictions(settings: Settings) -> Iterator[Finding]:
    places, permits = settings.max_open, settings.max_requests
    if permits > places:
        text = f"max_requests ({permits}) is more than max_open ({places}), which bounds it"
        yield _contradiction(text, "raise ENCODEC_MAX_OPEN")
    elif permits + settings.max_waiting > places:
        text = f"max_requests and max_waiting are {permits + settings.max_waiting} together, more "
        text += f"than max_open ({places}): the line for permits never gets that long"
        yield _contradiction(text, "raise ENCODEC_MAX_OPEN, or lower ENCODEC_MAX_WAITING")
    if settings.max_live > places:
        text = f"max_live ({settings.max_live}) is more than max_open ({places}), which bounds it"
        yield _contradiction(text, "raise ENCODEC_MAX_OPEN")
    cores = usable_cores()
    if settings.threads > cores:
        text = f"{settings.threads} threads for {cores} usable cores: all slow each other down"
        yield _contradiction(text, "leave ENCODEC_THREADS at 0, or raise the processor quota")
    if settings.device == "cpu" and settings.max_batch:
        yield _contradiction("max_batch does nothing on the CPU", "unset ENCODEC_MAX_BATCH")
    if settings.jobs_dir is None:
        for name in sorted(_OF_JOBS & settings.model_fields_set):
            advice = f"set ENCODEC_JOBS_DIR, or unset {variable(name)}"
            yield _contradiction(f"{name} does nothing without jobs_dir", advice)
    has_keys = settings.api_keys or settings.api_keys_file is not None
    if not has_keys and not is_loopback(settings.host):
        text = f"open to everybody who can reach {settings.host}: no API key is set"
        yield _contradiction(text, "set ENCODEC_API_KEYS, or let a proxy check who calls")


def _contradiction(text: str, advice: str) -> Finding:
    return warn("settings", text, advice)


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, advice in unknown_variables(environment).items():
        yield warn("settings", f"{name} is no setting and does nothing", advice)


def _tracing(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether traces are sent, and whether somebody receives them."""
    if not settings.tracing:
        if any(name.startswith("OTEL_EXPORTER_") for name in environment):
            advice = "set ENCODEC_TRACING=true, or unset them"
            yield warn("tracing", "off, though OTEL_EXPORTER_* variables are set", advice)
        return
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        hint = "pip install 'encodec-service[otel]'"
        yield fail("tracing", "the packages of OpenTelemetry are not installed", hint)
        return
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield warn("tracing", "on, but OTEL_SDK_DISABLED=true", "unset it")
        return
    if environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf") != "http/protobuf":
        advice = "use the collector's port for HTTP (4318) and OTEL_EXPORTER_OTLP_PROTOCOL"
        yield warn("tracing", "spans are sent over HTTP alone", f"{advice}=http/protobuf")
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = next((environment[name] for name in names if environment.get(name)), _COLLECTOR)
    address = urlsplit(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), _PATIENCE).close()
    except OSError as error:
        text = f"no collector answers at {endpoint}: {error.strerror or error}"
        yield warn("tracing", text, "start it, or set OTEL_EXPORTER_OTLP_ENDPOINT")
    else:
        yield ok("tracing", f"spans go to {endpoint}")
