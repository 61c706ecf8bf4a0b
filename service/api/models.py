"""`GET /models`: which models there are, and what they run with."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from model_core.codec import Codec
from model_core.config import ModelConfig
from model_core.engine.plan import parameter_count

from ..http.conditional import conditional
from ..http.documentation import header, problem_responses
from ..http.problems import ProblemCode
from ..inference.model_pool import ModelPool, ServedModel

router = APIRouter(tags=["models"])


class _Documented(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class Bandwidth(_Documented):
    """A rate that a model offers."""

    kbps: float
    """Kilobits a second."""
    codebooks: int
    """Codebooks a frame at that rate."""


class Weights(_Documented):
    """The weights a model runs with."""

    name: str
    """What `.ecdc` headers call the model with these weights."""
    source: Literal["bundled", "official", "hf", "folder"]
    """Where they come from."""
    id: str | None
    """First 8 hex digits of the sha256 over the tensors; null for published weights."""
    published: bool
    """Whether they are the weights published with the paper."""
    note: str | None
    """Why these weights and not those that were asked for."""


class Network(_Documented):
    """The size of a model's network."""

    n_filters: int
    """Channels of the first layer; 32 in the paper."""
    parameters: int
    """Trainable numbers."""


class LanguageModel(_Documented):
    """The language model that entropy-codes a model's codes (`lm=true`)."""

    name: str
    """What `.ecdc` headers call the model coded with it."""


class ModelInfo(_Documented):
    """A model of the service."""

    name: str
    """The value for `model=`."""
    state: Literal["starting", "ready", "failed"]
    """Ready after a real pass on the device."""
    ready: bool
    """Whether requests are taken for it."""
    sample_rate: int
    """Hz."""
    channels: int
    """1: mono, 2: stereo."""
    frame_rate: int
    """Frames a second."""
    codebook_size: int
    """Entries of a codebook."""
    bandwidths: list[Bandwidth]
    """The rates it offers, lowest first."""
    device: str
    """Where it runs: `cpu`, `cuda:0`."""
    backend: str | None
    """What computes it: `torch`, `cuda`, or the build of the native engine, such as
    `native-avx512`; null until it is loaded."""
    max_batch: int | None
    """How many blocks one batch has: on a GPU always, rows that nobody needs included; on a CPU at
    most, of as many streams. Null until it is loaded."""
    captured: bool | None
    """Whether its steps run as captured graphs; null until it is loaded, and where the backend has
    none."""
    encode_precision: str | None
    """What its encoder multiplies in: `float32`, which gives the reference's codes, or `tf32`;
    null until it is loaded."""
    decode_precision: str | None
    """The decoder's: `float32`, `tf32` or `bfloat16`; null until it is loaded."""
    weights: Weights | None
    """Null until they are loaded."""
    network: Network | None
    """Null until it is loaded."""
    language_model: LanguageModel | None
    """Null where there is none; `lm=true` is then a 409."""


class ModelList(_Documented):
    """The models that are kept warm."""

    models: list[ModelInfo]
    """In the order of the settings."""


@router.head("/models", include_in_schema=False)
@router.get(
    "/models",
    operation_id="listModels",
    summary="The models and what they run with",
    response_model=ModelList,
    responses={
        200: {"headers": header("ETag", "string", "Of this answer, for `If-None-Match`.")},
        304: {"description": "The client has this answer"},
        **problem_responses(
            ProblemCode.UNAUTHORIZED, ProblemCode.RANGE_NOT_SATISFIABLE, ProblemCode.INTERNAL_ERROR
        ),
    },
)
async def list_models(request: Request) -> Response:
    """Rates, channels, bandwidths, weights and device of every model that is kept warm."""
    models: ModelPool = request.app.state.models
    listed = ModelList(models=[describe(model) for model in models.served()])
    answer = Response(listed.model_dump_json(), media_type="application/json")
    return conditional(request, answer)


def describe(served: ServedModel) -> ModelInfo:
    """A model as `GET /models` shows it."""
    config, codec = served.config, served.codec
    return ModelInfo(
        name=config.name,
        state=served.state,
        ready=served.state == "ready",
        sample_rate=config.sample_rate,
        channels=config.channels,
        frame_rate=config.frame_rate,
        codebook_size=config.bins,
        bandwidths=[
            Bandwidth(kbps=kbps, codebooks=config.codebooks_for(kbps))
            for kbps in config.target_bandwidths
        ],
        device=served.device,
        backend=None if codec is None else codec.engine.name,
        max_batch=None if codec is None else codec.engine.max_batch,
        captured=None if codec is None else codec.engine.captured,
        encode_precision=None if codec is None else codec.engine.encode_precision,
        decode_precision=None if codec is None else codec.engine.precision,
        weights=None if codec is None else _weights(codec),
        network=None if codec is None else _network(codec.config),
        language_model=LanguageModel(name=codec.lm_name) if codec and codec.lm_name else None,
    )


def _weights(codec: Codec) -> Weights | None:
    used = codec.weights
    if used is None:
        return None
    return Weights(
        name=codec.name, source=used.source, id=used.id, published=used.published, note=used.note
    )


def _network(config: ModelConfig) -> Network:
    return Network(n_filters=config.n_filters, parameters=parameter_count(config))
