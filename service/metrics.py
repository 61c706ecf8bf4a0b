"""What the service measures, for Prometheus. Each app has its own registry."""

from collections.abc import Mapping
from functools import partial
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from model_core import __version__
from model_core.codec.work import CPU, Task

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_STEP_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_KEPT = 0.95  # weight of a batch against the next one, in the measured speed
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All collectors of one app; safe to use from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)

        gauge("encodec_build_info", "1; which version runs", ["version"]).labels(__version__).set(1)
        self._requests = counter(
            "encodec_requests",
            "Requests answered, by route and status",
            ["method", "route", "status"],
        )
        self.cut_off = counter(
            "encodec_responses_cut_off", "Responses that ended before they were whole", ["route"]
        )
        self._request_seconds = histogram(
            "encodec_request_seconds",
            "Time from a request's head to the end of its answer",
            ["method", "route"],
            buckets=_SECONDS,
        )
        self.in_flight = gauge("encodec_requests_in_flight", "Requests that are being answered")
        self._bytes = counter("encodec_body_bytes", "Bytes of bodies", ["direction"])
        self.permits_waiting = gauge("encodec_permits_waiting", "Requests that wait for their turn")
        self.open = gauge("encodec_requests_open", "Requests worked on or waiting for their client")
        self.permits_held = gauge("encodec_permits_held", "Requests that are worked on")
        self.queue_audio = gauge(
            "encodec_queue_audio_seconds",
            "Audio that requests with a permit or waiting for one still need worked on",
        )
        self.admitted_audio_limit = gauge(
            "encodec_admitted_audio_limit_seconds",
            "Audio of others that may come before a request with a permit; 0 before it is known",
        )
        self.work_speed = gauge(
            "encodec_work_speed",
            "Audio-seconds that are worked off in a second of work; 0 before it is known",
        )
        self._key_audio = counter(
            "encodec_key_audio_seconds", "Audio worked on, by the name of the API key", ["key"]
        )
        self._key_refused = counter(
            "encodec_key_refused",
            "Requests answered 429, by the name of the API key and the limit",
            ["key", "reason"],
        )
        self.live = gauge("encodec_live_streams", "Live streams that are open", ["kind"])
        self._live_ended = counter(
            "encodec_live_streams_ended", "Live streams that ended, by close code", ["kind", "code"]
        )
        self.live_step = histogram(
            "encodec_live_step_seconds",
            "Time from the arrival of live data to the sending of what it gives",
            ["kind"],
            buckets=_STEP_SECONDS,
        )
        self.ready = gauge("encodec_ready", "1 while it can take work, as /health/ready says")
        self._model_ready = gauge("encodec_model_ready", "1 once the model is warm", ["model"])

        self.model_loads = counter("encodec_model_loads", "Models loaded", ["model"])

        self.results = counter(
            "encodec_results_looked_up", "Requests that may have a kept result", ["state"]
        )
        self.result_bytes = gauge("encodec_result_bytes", "Memory of kept results")

        self.jobs_ended = counter("encodec_jobs_ended", "Jobs that ended here", ["state"])
        self._jobs = gauge("encodec_jobs", "Jobs of all replicas that are kept", ["state"])

        self._queue_depth = gauge("encodec_queue_depth", "Blocks that wait for a worker")
        self._queue_wait = histogram(
            "encodec_queue_wait_seconds",
            "Time a block waited for a worker",
            ["task"],
            buckets=_SECONDS,
        )
        self._batch_size = histogram(
            "encodec_batch_size", "Blocks in a batch", ["task"], buckets=_BATCHES
        )
        self._rows = counter(
            "encodec_batch_rows",
            "Rows of batches on a GPU, by whether a block was in them",
            ["task", "state"],
        )
        self._batch_fill = histogram(
            "encodec_batch_fill",
            "Blocks in a batch, as a share of the most that it may have",
            ["task"],
            buckets=_SHARES,
        )
        self._speed = gauge(
            "encodec_real_time_factor",
            "Seconds of audio that a worker does in a second, in the last batches",
            ["task"],
        )
        self._batch_seconds = histogram(
            "encodec_batch_seconds", "Time a batch took on the device", ["task"], buckets=_SECONDS
        )
        self._audio_seconds = counter(
            "encodec_audio_seconds", "Audio that the networks have processed", ["task", "model"]
        )
        self._recent: dict[str, tuple[float, float]] = {}  # audio and time of a task's last batches
        self._recent_lock = Lock()
        self.device_memory_bytes = gauge(
            "encodec_device_memory_bytes", "Memory of a GPU", ["device", "state"]
        )

        self.decoder_children = gauge("encodec_decoder_children", "Processes that decode an upload")
        self.spool_bytes = gauge("encodec_spool_bytes", "Disk that uploads take")
        self.spool_free_bytes = gauge(
            "encodec_spool_free_bytes", "Free space on the disk for uploads"
        )

    def request_done(
        self, method: str, route: str, status: int, seconds: float, trace_id: str | None = None
    ) -> None:
        """A request was answered (or its answer cut off) after `seconds`. Where it was traced, the
        trace is the example of its bucket."""
        self._requests.labels(method, route, str(status)).inc()
        exemplar = {"trace_id": trace_id} if trace_id else None
        self._request_seconds.labels(method, route).observe(seconds, exemplar)

    def bodies(self, received: int, sent: int) -> None:
        """A request's and its answer's bytes."""
        self._bytes.labels("in").inc(received)
        self._bytes.labels("out").inc(sent)

    def key_worked(self, key: str, audio: float) -> None:
        """So many audio-seconds of work were done for the API key of this name."""
        self._key_audio.labels(key).inc(audio)

    def key_refused(self, key: str, reason: str) -> None:
        """A request with it was refused for this reason."""
        self._key_refused.labels(key, reason).inc()

    def live_ended(self, kind: str, code: int) -> None:
        """A live stream ended with this close code."""
        self.live.labels(kind).dec()
        self._live_ended.labels(kind, str(code)).inc()

    def jobs_kept(self, states: Mapping[str, int]) -> None:
        """How many jobs there are in each state."""
        for state, count in states.items():
            self._jobs.labels(state).set(count)

    def model_ready(self, name: str, ready: bool = True) -> None:
        """Whether the model of this plain name is warm."""
        self._model_ready.labels(name).set(ready)

    def queue_depth(self, depth: int) -> None:
        """How many works wait."""
        self._queue_depth.set(depth)

    def batch_started(self, task: Task, waited: list[float]) -> None:
        """A batch was taken; its works waited so long (s)."""
        self._batch_size.labels(task.name).observe(len(waited))
        self._batch_fill.labels(task.name).observe(min(1.0, len(waited) / task.max_batch))
        if task.device != CPU:
            self._rows.labels(task.name, "used").inc(len(waited))
            self._rows.labels(task.name, "empty").inc(task.max_batch - len(waited))
        for seconds in waited:
            self._queue_wait.labels(task.name).observe(seconds)

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        """It held `audio` seconds of audio and took `seconds`."""
        self._batch_seconds.labels(task.name).observe(seconds)
        self._audio_seconds.labels(task.name, task.model.partition(":")[0]).inc(audio)
        with self._recent_lock:
            before = self._recent.get(task.name, (0.0, 0.0))
            done, took = audio + _KEPT * before[0], seconds + _KEPT * before[1]
            self._recent[task.name] = done, took
        if took > 0:
            self._speed.labels(task.name).set(done / took)
