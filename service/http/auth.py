"""API keys, where the operator has set any."""

import base64
import binascii
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from ..settings import Settings
from .problems import Problem, ProblemCode

TRUSTED = "encodec.trusted"
"""What the scope of a request has that the service itself makes."""
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
    """Raises `Problem` 401 where keys are set and the call carries none of them. A request that
    the service itself makes needs none."""
    if TRUSTED in request.scope:
        return
    check_keys(request.app.state.settings, _given(bearer, header))


async def key_owner(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> str:
    """Whose a call is: an id of its key, which does not tell the key; empty where none are set."""
    keys = {key.get_secret_value() for key in request.app.state.settings.api_keys}
    known = [key for key in _given(bearer, header) if _decoded(key) in keys]
    return sha256(_decoded(known[0]).encode()).hexdigest()[:32] if known else ""


def _given(bearer: HTTPAuthorizationCredentials | None, header: str | None) -> list[str]:
    given = (header, bearer.credentials if bearer else None)
    return [key for key in given if key is not None]


def _decoded(key: str) -> str:
    """A key of a header, which comes decoded as latin-1."""
    return key.encode("latin-1").decode("utf-8", "replace")


def check_keys(settings: Settings, given: Sequence[str]) -> None:
    """Raises as `require_key`."""
    keys = [key.get_secret_value().encode() for key in settings.api_keys]
    if not keys:
        return
    if not given:
        detail = "send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        raise Problem(ProblemCode.UNAUTHORIZED, detail)
    # All of them are compared, so that the time says nothing; headers come decoded as latin-1.
    matches = [secrets.compare_digest(one.encode("latin-1"), key) for one in given for key in keys]
    if not any(matches):
        raise Problem(ProblemCode.UNAUTHORIZED, "this key is not known")


KEY_PROTOCOL = "encodec.key."
"""What a WebSocket's subprotocol that carries a key begins with: a browser sets no headers."""


def websocket_keys(connection: HTTPConnection) -> list[str]:
    """The keys that a WebSocket's handshake carries."""
    given = [connection.headers.get("x-api-key")]
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given.append(credentials.strip())
    for name in connection.scope.get("subprotocols", ()):
        if name.startswith(KEY_PROTOCOL):
            given.append(_from_base64(name.removeprefix(KEY_PROTOCOL)))
    return [key for key in given if key]


def _from_base64(text: str) -> str | None:
    """The key in base64url without padding, as a header would be decoded; None if it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode(
            "latin-1"
        )
    except (ValueError, binascii.Error):
        return None
