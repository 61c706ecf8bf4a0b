"""What a live stream can be asked for, in the query of its address."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.datastructures import QueryParams

from model_core.audio.reader import MAX_RATE, MIN_RATE
from model_core.codec.seeking import PREROLL
from model_core.config import MOST_BANDWIDTH
from model_core.ecdc.v1.header import MAX_CHUNK_FRAMES
from model_core.entropy import MOST_FRAMES

from ..http.problems import check_names, wrong_parameters
from ..settings import message_of

CHUNK = 4
"""Frames in a chunk unless another number is asked for: 53 ms."""

Rate = Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE)]
Channels = Annotated[int, Field(ge=1, le=2)]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Compress(_Parameters):
    """Of `/live/compress`."""

    input: Literal["s16", "f32", "container"] = "s16"
    sample_rate: Rate | None = None
    channels: Channels = 1
    model: str = "encodec_24khz"
    bandwidth: Annotated[float, Field(gt=0, le=MOST_BANDWIDTH, allow_inf_nan=False)] = 6.0
    chunk: Annotated[int, Field(ge=1, le=MAX_CHUNK_FRAMES)] = CHUNK
    lm: bool = False

    @model_validator(mode="after")
    def _chunk_fits_language_model(self) -> Self:
        if self.lm and self.chunk > MOST_FRAMES:
            raise ValueError(f"with lm, a chunk has at most {MOST_FRAMES} frames")
        return self


class Decompress(_Parameters):
    """Of `/live/decompress`."""

    output: Literal["f32", "s16"] = "f32"
    sample_rate: Rate | None = None
    channels: Channels | None = None


class Speak(Compress):
    """Of a relay's speaker."""

    role: Literal["speak"]
    input: Literal["s16", "f32", "container", "ecdc"] = "s16"  # type: ignore[assignment]


class Listen(Decompress):
    """Of a relay's listener."""

    role: Literal["speak", "listen"] = "listen"  # who speaks has `Speak`
    output: Literal["ecdc", "f32", "s16"] = "ecdc"  # type: ignore[assignment]
    preroll: Annotated[int, Field(ge=0, le=PREROLL)] = PREROLL


Parameters = TypeVar("Parameters", bound=_Parameters)


def parse(kind: type[Parameters], query: QueryParams) -> Parameters:
    """Raises `Problem` 422 for a parameter that is wrong, unknown or repeated."""
    check_names([name for name, _ in query.multi_items()], kind.model_fields)
    try:
        return kind.model_validate(dict(query))
    except ValidationError as error:
        raise wrong_parameters(
            {str((*item["loc"], "chunk")[0]): message_of(item) for item in error.errors()}
        ) from None
