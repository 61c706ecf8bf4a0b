"""The models of the service: some loaded and warmed at the start, others when a file needs them."""

import asyncio
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import structlog

from model_core.checkpoints import LMSet, Registry, WeightSet
from model_core.checkpoints.read import read_lm
from model_core.codec import Codec
from model_core.codec.work import CPU
from model_core.config import CONFIGS, ModelConfig
from model_core.ecdc import Header
from model_core.ecdc.v1 import Header as ChunkedHeader
from model_core.engine import EngineOptions
from model_core.engine.choose import find_device
from model_core.errors import EncodecError, UnknownModelError, WeightsError, WeightsUnavailableError

from ..cancellation import create_task_apart, in_thread_apart
from ..http.problems import Problem, ProblemCode
from ..settings import Settings

_MINUTE = 60.0  # s
_LOADS_EACH = 4  # loads for files within a minute, for each of `extra_models`

State = Literal["starting", "ready", "failed"]
Key = tuple[str, str | None]
"""What headers call weights, without and with their language model."""
logger = structlog.get_logger(__name__)


def choose_device(wanted: str) -> str:
    """`auto` is CUDA where there is one. Raises `ValueError` for a CUDA device that is not here."""
    try:
        return find_device(wanted)
    except LookupError as error:
        raise ValueError(f"{error}; cpu and auto run without one") from error


@dataclass(frozen=True)
class ServedModel:
    """A model of the settings; `codec` is None until it is loaded."""

    config: ModelConfig
    device: str
    state: State
    codec: Codec | None


class ModelPool:
    """Warm codecs by name, and a few more for files made with other weights."""

    def __init__(
        self,
        settings: Settings,
        device: str,
        on_failure: Callable[[], None] = lambda: None,
        on_ready: Callable[[str], None] = lambda name: None,
        on_load: Callable[[str], None] = lambda name: None,
    ):
        """`on_ready` is called with the name of each model that is warm, `on_failure` when one
        cannot be loaded; `on_load` with the name of each that begins to be loaded."""
        self._settings = settings
        self._device = device
        self._on_failure = on_failure
        self._on_ready = on_ready
        self._on_load = on_load
        self._chosen: dict[str, Key] = {}  # the weights that a name stood for when it was loaded
        self._loads: deque[float] = deque()  # when models were loaded for files
        if settings.max_batch and device == CPU:
            logger.warning("max_batch is for a GPU alone", device=device)
        self._options = EngineOptions(
            backend=settings.backend,
            max_batch=settings.max_batch or None if device != CPU else None,
            threads=settings.worker_threads,
            shared=True,
            precision=settings.decode_precision,
            encode_precision=settings.encode_precision,
        )
        self._making = threading.Lock()
        self._max_batch: dict[ModelConfig, int] = {}  # as the first engine chose it
        self._registry: Registry | None = None
        self._warm: dict[str, Codec] = {}
        self._extra: OrderedDict[Key, Codec] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Codec]] = {}
        self._beside: OrderedDict[Key, asyncio.Task[Codec]] = OrderedDict()
        self._start: asyncio.Task[None] | None = None
        self.error: str | None = None
        """Why the models could not be loaded."""

    @property
    def state(self) -> State:
        if self.error is not None:
            return "failed"
        return "ready" if len(self._warm) == len(self._settings.models) else "starting"

    def start(self) -> None:
        """Load and warm the models in the background; called on the event loop."""
        self._start = asyncio.create_task(self._load_all())

    async def until_loaded(self) -> None:
        """Until the models are warm, or cannot be."""
        if self._start is not None:
            await asyncio.wait([self._start])

    def stop(self) -> None:
        """Wait for no model any more."""
        for task in [self._start, *self._loading.values(), *self._beside.values()]:
            if task is not None:
                task.cancel()

    async def for_compression(self, name: str, lm: bool = False) -> Codec:
        """The codec to compress with. Raises `Problem` 422 for a name that is no model's, 409
        where `lm` is wanted and there is none, 503 while models are loaded; and `EncodecError`
        where the weights cannot be loaded."""
        if name not in CONFIGS:
            detail = f"no model {name[:80]!r}; there is {', '.join(CONFIGS)}"
            raise Problem(ProblemCode.UNKNOWN_MODEL, detail)
        registry = self.require_ready()
        codec = self._warm.get(name) or self._kept(self._chosen.get(name))
        if codec is None:
            found = await in_thread_apart(lambda: registry.find(name), "find")
            self._chosen[name] = _key(found)
            codec = await self._get_extra(found)
        if lm and not codec.has_lm:
            detail = f"there is no language model for {codec.name}"
            raise Problem(ProblemCode.LM_UNAVAILABLE, detail)
        return codec

    async def for_header(self, header: Header | ChunkedHeader) -> Codec:
        """The codec that decodes a file: exactly the weights its header names.

        Raises `Problem` 400 where the name is no model's, 409 where the language model is not
        here, 503 while models are loaded, and `EncodecError` where the weights are not available.
        """
        registry = self.require_ready()
        for codec in self._warm.values():
            if _decodes(codec, header):
                return codec
        fits = (key for key, codec in self._extra.items() if _decodes(codec, header))
        kept = self._kept(next(fits, None))
        if kept is not None:
            return kept
        try:
            found = await in_thread_apart(lambda: registry.find_exact(header.model), "find")
        except UnknownModelError as error:
            raise Problem(ProblemCode.BROKEN_ECDC, str(error)) from error
        # What the file needs is known before anything is loaded for it.
        if _fits(found, header):
            codec = await self._get_extra(found)
            if _decodes(codec, header):
                return codec
        if not header.lm:
            raise WeightsUnavailableError(f"the weights of {header.model} are not available here")
        detail = f"the language model that {header.model} was coded with is not here"
        raise Problem(ProblemCode.LM_UNAVAILABLE, detail)

    async def on_cpu(self, codec: Codec) -> Codec:
        """The same weights on the CPU, where the steps of live streams are computed: they are too
        short for a GPU. Loaded once, and `codec` itself where it is there already. Raises
        `EncodecError` where that fails."""
        fixed = codec.engine.name.startswith("cuda")  # its blocks all have one size
        if (codec.device == CPU and not fixed) or codec.weights is None:
            return codec
        key = _key(codec.weights)
        if key not in self._beside or _has_failed(self._beside[key]):
            self._beside[key] = create_task_apart(self._load_beside(codec, codec.weights))
            while len(self._beside) > 1 + self._settings.extra_models:
                self._beside.popitem(last=False)
        self._beside.move_to_end(key)
        return await asyncio.shield(self._beside[key])

    async def _load_beside(self, codec: Codec, weights: WeightSet) -> Codec:
        options = EngineOptions(threads=self._settings.worker_threads, shared=True)

        def load() -> Codec:
            made = Codec.from_weights(weights, None, CPU, options)
            made.warm_up()
            return made if codec.lm is None else made.with_lm(codec.lm)

        made = await in_thread_apart(load, f"load-{codec.name}")
        logger.info("model was loaded for live streams", model=made.name, **_log_fields(made))
        return made

    async def available(self, header: Header | ChunkedHeader) -> bool:
        """Whether `for_header` would find what the file needs. Raises `Problem` 503 while models
        are loaded."""
        registry = self.require_ready()
        known = [*self._warm.values(), *self._extra.values()]
        if any(_decodes(codec, header) for codec in known):
            return True
        try:
            found = await in_thread_apart(lambda: registry.find_exact(header.model), "find")
        except (UnknownModelError, WeightsUnavailableError, WeightsError):
            return False
        return _fits(found, header)

    def served(self) -> list[ServedModel]:
        """The models of the settings, in their order."""
        served = []
        for name in self._settings.models:
            codec = self._warm.get(name)
            config = CONFIGS[name] if codec is None else codec.config
            state: State = self.state if codec is None else "ready"
            served.append(ServedModel(config, self._device, state, codec))
        return served

    def require_ready(self) -> Registry:
        """The registry of weights. Raises `Problem` 503 unless all models are warm."""
        if self.state == "failed":
            raise Problem(ProblemCode.UNAVAILABLE, "the models could not be loaded")
        if self.state == "starting" or self._registry is None:
            raise Problem(ProblemCode.STARTING, "the models are being loaded", retry_after=5)
        return self._registry

    async def _load_all(self) -> None:
        try:
            settings = self._settings
            self._registry = registry = await in_thread_apart(
                lambda: Registry(settings.weights, cache_dir=settings.cache_dir), "weights"
            )
            for name in settings.models:
                found = await in_thread_apart(partial(registry.find, name), "find")
                codec = await self._load(registry, found)
                self._warm[name] = codec
                self._on_ready(name)
                logger.info("model is ready", model=codec.name, **_log_fields(codec))
        except Exception as error:
            self.error = str(error)
            if isinstance(error, WeightsUnavailableError):
                self.error += "; --models (ENCODEC_MODELS) names the models to serve"
                self.error += ", where the weights lack one"
            unknown = not isinstance(error, EncodecError)
            logger.critical("models could not be loaded", error=self.error, exc_info=unknown)
            self._on_failure()

    async def _load(self, registry: Registry, found: WeightSet) -> Codec:
        """Load and warm one set of weights; takes seconds."""

        def load() -> Codec:
            lm = _fetch_lm(registry, found)
            with self._making:  # one at a time, since it may block the device
                # As for the first weights of this shape: so those that are loaded again make the
                # same codes again, and nothing is measured while requests wait.
                chosen = self._max_batch.get(found.config, self._options.max_batch)
                options = replace(self._options, max_batch=chosen)
                codec = Codec.from_weights(found, lm, self._device, options)
                codec.warm_up()
                self._max_batch[found.config] = codec.engine.max_batch
            return codec

        self._on_load(found.name)
        return await in_thread_apart(load, f"load-{found.name}")

    def _kept(self, key: Key | None) -> Codec | None:
        """The codec of that key that is not kept warm, if it is in memory; it was used just now."""
        if key is None or key not in self._extra:
            return None
        self._extra.move_to_end(key)
        return self._extra[key]

    async def _get_extra(self, found: WeightSet) -> Codec:
        """A codec that is not kept warm; loaded once however many ask for it at once. Raises
        `Problem` 503 when too many were loaded in the last minute."""
        key = _key(found)
        kept = self._kept(key)
        if kept is not None:
            return kept
        if key not in self._loading:
            self._refuse_too_many_loads()
            task = create_task_apart(self._load_extra(found))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(self._loading[key])

    def _refuse_too_many_loads(self) -> None:
        """Files that need more models than are kept would push each other out of memory forever."""
        now = time.monotonic()
        while self._loads and self._loads[0] < now - _MINUTE:
            self._loads.popleft()
        if len(self._loads) >= _LOADS_EACH * self._settings.extra_models:
            after = max(1, math.ceil(self._loads[0] + _MINUTE - now))
            detail = f"{len(self._loads)} models were loaded within a minute"
            raise Problem(ProblemCode.UNAVAILABLE, detail, retry_after=after)
        self._loads.append(now)

    async def _load_extra(self, found: WeightSet) -> Codec:
        try:
            codec = await self._load(self.require_ready(), found)
        except WeightsError as error:
            logger.error("weights are not intact", error=str(error))
            raise
        self._extra[_key(found)] = codec
        while len(self._extra) > self._settings.extra_models:
            self._extra.popitem(last=False)
        logger.info("model was loaded for a file", model=codec.name, **_log_fields(codec))
        return codec


def _has_failed(task: asyncio.Task[Codec]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _key(found: WeightSet) -> Key:
    return found.header_name, found.lm_header_name


def _fits(found: WeightSet, header: Header | ChunkedHeader) -> bool:
    """Whether a codec of these weights would decode the file, as far as is known without it."""
    return header.model == (found.lm_header_name if header.lm else found.header_name)


def _decodes(codec: Codec, header: Header | ChunkedHeader) -> bool:
    """Whether the file was made with this codec's weights."""
    return header.model == (codec.lm_name if header.lm else codec.name)


def _fetch_lm(registry: Registry, found: WeightSet) -> LMSet | None:
    """The language model, checked; None where it is not available, since the model works without
    it. Raises `WeightsError` for a file that is wrong now, and not with the first request."""
    if found.lm is None:
        return None
    try:
        lm = registry.fetch_lm(found)
        read_lm(lm)
    except WeightsUnavailableError as error:
        logger.warning("no language model", model=found.header_name, error=str(error))
        return None
    return lm


def _log_fields(codec: Codec) -> dict[str, str | int | bool | None]:
    found = codec.weights
    assert found is not None
    return {
        "weights": found.source,
        "note": found.note,
        "n_filters": codec.config.n_filters,
        "lm": codec.has_lm,
        "device": codec.device,
        "backend": codec.engine.name,
        "max_batch": codec.engine.max_batch,
        "captured": codec.engine.captured,
        "encode_precision": codec.engine.encode_precision,
        "decode_precision": codec.engine.precision,
    }
