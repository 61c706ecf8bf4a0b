"""Which models there are."""

from fastapi import APIRouter, Request

from ..model_info import ModelList
from ..models import Models
from ..problems import ProblemCode, problem_responses

router = APIRouter(tags=["models"])


@router.head("/models", include_in_schema=False)
@router.get(
    "/models",
    operation_id="listModels",
    summary="The models and what they run with",
    responses=problem_responses(ProblemCode.UNAUTHORIZED, ProblemCode.INTERNAL_ERROR),
)
async def list_models(request: Request) -> ModelList:
    """Rates, channels, bandwidths, weights and device of every model that is kept warm."""
    models: Models = request.app.state.models
    return ModelList(models=models.describe())
