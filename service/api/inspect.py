"""`POST /inspect`: what an `.ecdc` file is, without decoding it."""

import asyncio

from fastapi import APIRouter, Depends

from model_core.codec.inspection import Inspection
from model_core.codec.inspectors import inspector

from ..http.documentation import problem_responses
from ..pipeline.call import OpenCall
from ..pipeline.decode import receive_head
from .routes import ECDC, INSPECT_PROBLEMS, file_body, known_parameters

router = APIRouter(tags=["codec"])


@router.post(
    "/inspect",
    operation_id="inspect",
    summary="What an .ecdc file is",
    dependencies=[Depends(known_parameters)],
    responses=problem_responses(*INSPECT_PROBLEMS),
    openapi_extra=file_body(ECDC),
)
async def inspect_file(call: OpenCall) -> Inspection:
    """Reads the header and counts the bytes; of version 1, verifies everything. Works without the
    file's weights."""
    upload = await call.upload()
    file = inspector(await receive_head(upload))
    async for chunk in upload.chunks:
        await asyncio.to_thread(file.feed, chunk)  # an index may list millions of chunks
    return file.inspection(await call.models.available(file.header))
