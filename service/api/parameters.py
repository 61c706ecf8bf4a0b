"""Query parameters that several calls share."""

from typing import Annotated

from fastapi import Query

from model_core.config import CONFIGS

_BANDWIDTHS = "; ".join(
    f"{config.name}: {', '.join(f'{b:g}' for b in config.target_bandwidths)}"
    for config in CONFIGS.values()
)

Model = Annotated[
    str, Query(description=f"Which model: {', '.join(CONFIGS)}.", examples=list(CONFIGS))
]
Bandwidth = Annotated[
    float, Query(description=f"kbps. {_BANDWIDTHS}.", examples=[6.0], gt=0, le=24)
]
LanguageModel = Annotated[
    bool, Query(description="Entropy-code with the language model: slower, smaller.")
]
Rescale = Annotated[
    bool,
    Query(description="Scale the whole recording down instead of clipping it; takes two passes."),
]

DEFAULT_MODEL = "encodec_24khz"
DEFAULT_BANDWIDTH = 6.0
