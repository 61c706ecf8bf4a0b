"""API keys, where the operator has set any."""

import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from .problems import Problem, ProblemCode

_NEEDED = "Needed where the service has API keys"
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description=_NEEDED)
_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="apiKey", description=_NEEDED
)


async def require_key(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> None:
    """Raises `Problem` 401 where keys are set and the call carries none of them."""
    keys = [key.get_secret_value().encode() for key in request.app.state.settings.api_keys]
    if not keys:
        return
    given = [key for key in (header, bearer.credentials if bearer else None) if key is not None]
    if not given:
        detail = "send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        raise Problem(ProblemCode.UNAUTHORIZED, detail)
    # All of them are compared, so that the time says nothing; headers come decoded as latin-1.
    matches = [secrets.compare_digest(one.encode("latin-1"), key) for one in given for key in keys]
    if not any(matches):
        raise Problem(ProblemCode.UNAUTHORIZED, "this key is not known")
