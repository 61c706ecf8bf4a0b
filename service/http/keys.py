"""API keys: their names, their secrets, which are kept as hashes, and what each may use."""

import re
import secrets
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ..settings import Settings, message_of
from .problems import Problem, ProblemCode

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class ApiKey:
    """Who calls. The secret itself is not kept."""

    name: str
    """What logs and metrics call it."""
    digest: bytes = b""
    """SHA-256 of the secret."""
    weight: float = 1.0
    """Its share of the machine, relative to the others'."""
    concurrent: int | None = None
    """Requests that it may have open."""
    per_minute: float | None = None
    """Audio-seconds of work."""
    per_hour: float | None = None
    """Audio-seconds of work."""

    @property
    def owner(self) -> str:
        """An id of whoever has this secret, which does not tell it; empty for anybody."""
        return self.digest.hex()[:32]


ANONYMOUS = ApiKey("anonymous")
"""All callers of a service without keys together: behind a proxy they share an address, and
addresses cost nothing to whoever wants many."""


class _Entry(BaseModel):
    """A table of the file of keys; its name is the key's."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    concurrent: Annotated[int, Field(ge=1)] | None = None
    audio_seconds_per_minute: _Amount | None = None
    audio_seconds_per_hour: _Amount | None = None

    def key(self, name: str) -> ApiKey:
        """Raises `ValueError` where the secret is not given, or twice."""
        given = self.secret.get_secret_value() if self.secret else ""
        if bool(given) == bool(self.sha256):
            raise ValueError("it needs either secret or sha256")
        digest = bytes.fromhex(self.sha256) if self.sha256 else _digest(given.encode())
        limits = self.concurrent, self.audio_seconds_per_minute, self.audio_seconds_per_hour
        return ApiKey(name, digest, self.weight, *limits)


class Keys:
    """All keys of a service."""

    def __init__(self, keys: Sequence[ApiKey] = ()):
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def require(self, given: Sequence[str]) -> ApiKey:
        """The key that one of the `given` secrets belongs to; `ANONYMOUS` where the service has no
        keys. Raises `Problem` 401."""
        if not self._keys:
            return ANONYMOUS
        if not given:
            detail = "send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise Problem(ProblemCode.UNAUTHORIZED, detail)
        # All of them are compared, so that the time says nothing; headers are decoded as latin-1.
        digests = [_digest(secret.encode("latin-1")) for secret in given]
        found = [
            key
            for key in self._keys
            for digest in digests
            if secrets.compare_digest(digest, key.digest)
        ]
        if not found:
            wrong = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750 3.1
            raise Problem(ProblemCode.UNAUTHORIZED, "this key is not known", headers=wrong)
        return found[0]

    def owned_by(self, owner: str) -> ApiKey:
        """The key with this `owner`; `ANONYMOUS` for nobody's, and where the service has no keys.
        Raises `Problem` 401 where there is none any longer."""
        if not owner or not self._keys:
            return ANONYMOUS
        for key in self._keys:
            if key.owner == owner:
                return key
        raise Problem(ProblemCode.UNAUTHORIZED, "the key that it was asked for with is gone")


def read_keys(settings: Settings) -> Keys:
    """Those of the settings, called `key-1`, `key-2`, …, and those of the file. Raises `ValueError`
    for a file that cannot be read or is wrong."""
    keys = [
        ApiKey(f"key-{number}", _digest(secret.get_secret_value().encode()))
        for number, secret in enumerate(settings.api_keys, 1)
    ]
    if settings.api_keys_file is not None:
        keys += _from_file(settings.api_keys_file)
    for values, what in (([k.name for k in keys], "name"), ([k.digest for k in keys], "secret")):
        if len(set(values)) < len(values):
            raise ValueError(f"two API keys have the same {what}")
    return Keys(keys)


def _from_file(path: Path) -> list[ApiKey]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"the API keys in {path} cannot be read: {reason}") from None
    keys = []
    for name, table in tables.items():
        try:
            if not _NAME.fullmatch(name) or name == ANONYMOUS.name:
                raise ValueError("a name is 1 to 64 of A-Z a-z 0-9 . _ - (anonymous is taken)")
            keys.append(_Entry.model_validate(table).key(name))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            place = f"{path}: {name}: {field}" if field else f"{path}: {name}"
            raise ValueError(f"{place}: {message_of(first)}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {name}: {error}") from None
    if not keys:
        raise ValueError(f"{path} has no API keys")  # rather than a service that is open to all
    return keys


def _digest(secret: bytes) -> bytes:
    return sha256(secret).digest()
