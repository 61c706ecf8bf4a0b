"""The service as replicas on a Ray cluster: the same app, behind Ray Serve.

    python -m service.cluster --max-replicas 4 --replica-gpus 0.5
    serve run service.cluster:app max_replicas=4 replica_gpus=0.5

Settings are those of `encodec-serve`, and those of `ClusterSettings`. Each replica is a process
with its own models and queue. It gets requests once it is ready, and is replaced when it is not
ready for three checks; one that is to end first finishes what it has. Needs the extra `ray`.
"""

import asyncio
import math
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field, model_validator

from .api.operations import require_ready
from .app import create_app
from .http.problems import Problem
from .inference.admission import Admission
from .serve import configure_logs, keep_what_is_there
from .settings import Seconds, Settings, parse_flags_of

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported

try:
    import ray
except ImportError as error:
    hint = "pip install 'encodec-service[ray]'"
    raise ImportError(f"service.cluster needs Ray ({hint}): {error}") from None
from ray import serve
from ray.serve.config import (
    AutoscalingConfig,
    AutoscalingContext,
    AutoscalingPolicy,
    BackpressureConfig,
    HTTPOptions,
)

AUDIO_SECONDS = "encodec_queue_audio_seconds"
"""By which replicas are added: audio that a replica has taken and not done, s."""

_INGRESS = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # its 5 are too few on a node that is at work
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # its 0.1 take 3 % of a core, for nothing here
}
"""For every process of Ray Serve: clients reach replicas through HAProxy. Its other proxy, in
Python, keeps whole uploads in memory, where they come faster than they are read."""

_DRAINING = 30  # s, for which a replica that is to end still takes requests behind HAProxy
_CHECK_PERIOD = 5.0  # s
_STARTING = 0.1  # s between two looks whether a replica is ready
_OTHER_REQUESTS = 64  # beside those that may be open: health, metrics, refusals


class ClusterSettings(Settings):
    """The settings of the service, and how many replicas of it there are."""

    min_replicas: Annotated[int, Field(ge=1)] = 1
    """Replicas that always run."""
    max_replicas: Annotated[int, Field(ge=1)] = 1
    """Most replicas; more than `min_replicas` run while there is work for them."""
    replica_audio_seconds: Seconds = 1000
    """Seconds of audio that a replica may have taken and not done before another is started."""
    replica_requests: Annotated[int, Field(ge=1)] = 32
    """Open requests of a replica before another is started, whatever audio they have."""
    replica_cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1
    """CPUs that a replica reserves; unless `threads` says otherwise, it has as many threads."""
    replica_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """GPUs that a replica reserves; several replicas of 0.5 share one."""
    ray_address: str = "auto"
    """Address of the Ray cluster; auto for the one that runs on this machine, or else, as with
    local, one that is started for this program."""

    @model_validator(mode="after")
    def _replicas(self) -> "ClusterSettings":
        if self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas is less than min_replicas")
        return self


@serve.ingress()
class Replica:
    """One process of the service."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._failed = False

    def __serve_build_asgi_app__(self) -> FastAPI:
        configure_logs(self._settings.log_level, self._settings.log_format)
        self._service = create_app(self._settings, self._on_fatal, keep_what_is_there)
        begin = self._service.router.lifespan_context

        @asynccontextmanager
        async def until_ready(app: FastAPI) -> AsyncIterator[None]:
            async with begin(app):
                await self._ready()
                yield

        self._service.router.lifespan_context = until_ready
        return self._service

    async def check_health(self) -> None:
        """Raises `Problem` where it should be sent no work; Ray Serve asks."""
        await require_ready(self._service)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `replicas_for_audio` goes by; Ray Serve asks."""
        admission: Admission = self._service.state.admission
        return {AUDIO_SECONDS: admission.audio}

    async def _ready(self) -> None:
        """Waits until the models are warm. Raises `RuntimeError` where they cannot be loaded."""
        while not self._failed:
            try:
                return await require_ready(self._service)
            except Problem:
                await asyncio.sleep(_STARTING)
        raise RuntimeError("the service cannot work; its log says why")

    def _on_fatal(self) -> None:
        self._failed = True


class ReplicasForAudio:
    """How many replicas there should be, by the audio they have to do and by open requests."""

    def __init__(self, audio_seconds: float, requests: int):
        """Of both, what one replica is to have."""
        self._audio_seconds = audio_seconds
        self._requests = requests

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The number, which Ray Serve bounds, and no state."""
        measured = (context.aggregated_metrics or {}).get(AUDIO_SECONDS, {})
        by_audio = sum(measured.values()) / self._audio_seconds
        by_requests = context.total_num_requests / self._requests
        return math.ceil(max(by_audio, by_requests)), {}


def app(arguments: dict[str, str]) -> serve.Application:
    """For `serve run` and `serve deploy`: `NAME=VALUE` is stronger than `ENCODEC_NAME`."""
    return application(ClusterSettings.model_validate(arguments))


def application(settings: ClusterSettings) -> serve.Application:
    """The replicas, to be run by Ray Serve."""
    policy = AutoscalingPolicy(
        policy_function=ReplicasForAudio,
        policy_kwargs={
            "audio_seconds": settings.replica_audio_seconds,
            "requests": settings.replica_requests,
        },
    )
    deployment = serve.deployment(
        Replica,
        name="encodec",
        ray_actor_options={"num_cpus": settings.replica_cpus, "num_gpus": settings.replica_gpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=settings.min_replicas,
            max_replicas=settings.max_replicas,
            policy=policy,
        ),
        # The service itself says 429; Ray Serve only where even that is too much for it.
        max_ongoing_requests=settings.max_open + _OTHER_REQUESTS,
        max_queued_requests=settings.max_waiting,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=5),
        graceful_shutdown_timeout_s=_DRAINING + settings.shutdown_grace,
        graceful_shutdown_wait_loop_s=1,
        health_check_period_s=_CHECK_PERIOD,
        max_surge_percent=100,  # new replicas are ready before old ones end
    )
    return deployment.bind(_of_a_replica(settings))


def _of_a_replica(settings: ClusterSettings) -> Settings:
    """A replica has the threads that it reserves, not one for each core of its node."""
    threads = settings.threads or max(1, int(settings.replica_cpus))
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return Settings.model_construct(**{**values, "threads": threads})


def main(arguments: list[str] | None = None) -> None:
    """Have a cluster that runs already run the replicas, or replace those it has; or else run them
    on this machine until told to stop, when they finish what they have."""
    settings = parse_flags_of(ClusterSettings, "python -m service.cluster", arguments)
    started = _connect(settings.ray_address)
    options = HTTPOptions(
        host=settings.host, port=settings.port, keep_alive_timeout_s=settings.keep_alive_timeout
    )
    serve.start(http_options=options)
    serve.run(application(settings))
    if started:
        told = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # in the place of Ray's own handlers
            signal.signal(number, lambda *_: told.set())
        told.wait()
        serve.shutdown()


def _connect(address: str) -> bool:
    """Whether a cluster was started for this program."""
    environment = {"env_vars": _INGRESS}
    if address != "local":
        try:
            ray.init(address, runtime_env=environment)
            return False
        except ConnectionError:
            if address != "auto":
                raise
    ray.init("local", runtime_env=environment)
    return True


if __name__ == "__main__":
    # Replicas load what they are made of from this module, not from a program's.
    from service import cluster

    cluster.main()
