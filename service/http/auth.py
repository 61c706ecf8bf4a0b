"""Which API key a request carries, where the operator has set any."""

import base64
import binascii
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from .keys import ANONYMOUS, ApiKey, Keys
from .request_stats import request_stats

_API_KEY = "api_key"  # in the state of a request's scope
OWNER = "encodec.owner"
"""What the scope of a request has that the service itself makes: whose it is (`ApiKey.owner`)."""
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
    """Notes whose request it is. Raises `Problem` 401 where keys are set and the call carries none
    of them. A request that the service itself makes needs none."""
    keys: Keys = request.app.state.keys
    if OWNER in request.scope:
        key = keys.owned_by(request.scope[OWNER])
    else:
        given = (header, bearer.credentials if bearer else None)
        key = keys.require([secret for secret in given if secret is not None])
    request.scope.setdefault("state", {})[_API_KEY] = key
    if key is not ANONYMOUS:
        request_stats(request).key = key.name


def key_of(connection: HTTPConnection) -> ApiKey:
    """Whose request it is, once that is known."""
    key: ApiKey = connection.scope.get("state", {}).get(_API_KEY, ANONYMOUS)
    return key


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
