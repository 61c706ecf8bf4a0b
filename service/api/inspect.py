"""`POST /inspect`: what an `.ecdc` file is, without decoding it."""

from fastapi import APIRouter

from ..coding.call import OpenCall
from ..coding.inspection import Inspection, inspect
from ..problems import problem_responses
from .bodies import ECDC, PROBLEMS, raw_body

router = APIRouter(tags=["codec"])


@router.post(
    "/inspect",
    operation_id="inspect",
    summary="What an .ecdc file is",
    responses=problem_responses(*PROBLEMS),
    openapi_extra=raw_body(ECDC),
)
async def inspect_file(call: OpenCall) -> Inspection:
    """Reads the header and counts the bytes; works without the file's weights."""
    await call.admit()
    upload = await call.upload()
    return await inspect(call, upload)
