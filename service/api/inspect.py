"""`POST /inspect`: what an `.ecdc` file is, without decoding it."""

from fastapi import APIRouter, Depends

from ..coding.call import OpenCall
from ..coding.inspection import Inspection, inspect
from ..problems import problem_responses
from .bodies import ECDC, INSPECT_PROBLEMS, raw_body
from .parameters import known_parameters

router = APIRouter(tags=["codec"])


@router.post(
    "/inspect",
    operation_id="inspect",
    summary="What an .ecdc file is",
    dependencies=[Depends(known_parameters)],
    responses=problem_responses(*INSPECT_PROBLEMS),
    openapi_extra=raw_body(ECDC),
)
async def inspect_file(call: OpenCall) -> Inspection:
    """Reads the header and counts the bytes; works without the file's weights."""
    await call.admit()
    upload = await call.upload()
    return await inspect(call, upload)
