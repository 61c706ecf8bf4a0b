"""API keys, where the operator has set any."""

import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from ..settings import Settings
from .problems import Problem, ProblemCode

_bearer = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="Needed where the service has API keys"
)
_header = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    scheme_name="apiKey",
    description="Needed where the service has API keys",
)


async def require_key(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> None:
    """Raises `Problem` 401 where keys are set and the call carries none of them."""
    settings: Settings = request.app.state.settings
    if not settings.api_keys:
        return
    given = [key for key in (header, bearer.credentials if bearer else None) if key is not None]
    if not given:
        raise Problem(
            ProblemCode.UNAUTHORIZED, "send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        )
    # All of them are compared, so that the time says nothing; headers come decoded as latin-1.
    matches = [
        secrets.compare_digest(one.encode("latin-1"), key.get_secret_value().encode())
        for one in given
        for key in settings.api_keys
    ]
    if not any(matches):
        raise Problem(ProblemCode.UNAUTHORIZED, "this key is not known")
