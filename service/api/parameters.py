"""Query parameters that several calls share."""

from collections import Counter
from typing import Annotated

from fastapi import Query, Request
from fastapi.routing import APIRoute

from model_core.config import CONFIGS

from ..http.problems import ParameterProblem, Problem, ProblemCode

_BANDWIDTHS = "; ".join(
    f"{config.name}: {', '.join(f'{b:g}' for b in config.target_bandwidths)}"
    for config in CONFIGS.values()
)

Model = Annotated[str, Query(description="Which model.", json_schema_extra={"enum": list(CONFIGS)})]
Bandwidth = Annotated[
    float,
    Query(description=f"kbps. {_BANDWIDTHS}.", examples=[6.0], gt=0, le=24, allow_inf_nan=False),
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


async def known_parameters(request: Request) -> None:
    """Raises `Problem` 422 for a parameter that the call does not have: one that is misspelt would
    be taken for its default; and for one that is there more than once, of which only one would
    count."""
    route = request.scope["route"]
    known = {field.alias for field in route.dependant.query_params if isinstance(route, APIRoute)}
    unknown = sorted({name[:100] for name in request.query_params} - known)
    if unknown:
        there_are = f"there {'are' if len(known) > 1 else 'is'} {', '.join(sorted(known))}"
        message = there_are if known else "there are none"
        errors = [ParameterProblem(name=n, location="query", message=message) for n in unknown]
        detail = f"no parameter {', '.join(map(repr, unknown))}; {message}"
        raise Problem(ProblemCode.BAD_PARAMETER, detail, errors=errors)
    times = Counter(name for name, _ in request.query_params.multi_items())
    repeated = sorted(name for name, count in times.items() if count > 1)
    if repeated:
        message = "it is given more than once"
        errors = [ParameterProblem(name=n, location="query", message=message) for n in repeated]
        raise Problem(ProblemCode.BAD_PARAMETER, f"{repeated[0]}: {message}", errors=errors)
