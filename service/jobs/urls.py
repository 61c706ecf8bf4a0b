"""Which URLs a job may name, and a way to those of the web that leads nowhere else.

A URL must begin as the operator allows. Then, for each connection (redirects make further ones),
the name is resolved, every address is checked, and the connection is made to an address that was
checked, not to the name, which another answer of the resolver could lead elsewhere.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from functools import cache
from urllib.parse import unquote

import httpx

from ..http.problems import Problem, ProblemCode

_WEB = ("http", "https")
_LONGEST = 4096  # characters
_PORTS = {"http": 80, "https": 443}

# `is_global` differs between versions of Python, so what is not public is written down too
# (IANA's registries of special addresses).
_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        "168.63.129.16/32",  # public, but inside Azure it is the host of the machine
    )
]
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")  # so neither mapped nor translated IPv4 (NAT64)
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]


def is_public(address: str) -> bool:
    """Whether an address (not a name) is one of the public Internet. IPv6 that stands for IPv4, in
    any of the ways there are, is not."""
    found = ipaddress.ip_address(address)
    if not found.is_global:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in _NOT_PUBLIC_4)
    return found in _PUBLIC_6 and not any(found in network for network in _NOT_PUBLIC_6)


class AllowedUrls:
    """URLs that begin as one of some beginnings: `https://host/folder/`, `https://*/`,
    `s3://bucket/folder/`."""

    def __init__(self, beginnings: Sequence[str]):
        web = [one for one in beginnings if is_web(one)]
        self._web = [httpx.URL(one.replace("*", "any", 1)) for one in web]
        self._any_host = ["://*" in one for one in web]
        self._buckets = [one for one in beginnings if not is_web(one)]

    def check(self, url: str) -> None:
        """Raises `Problem` 403."""
        odd = any(not "!" <= character <= "~" or character in '\\"<>' for character in url)
        if len(url) > _LONGEST or odd or _climbs(url if not is_web(url) else url.partition("?")[0]):
            raise _forbidden("it is too long, or has characters or steps that it must not have")
        if is_web(url):
            try:
                self.check_web(httpx.URL(url))
            except httpx.InvalidURL:
                raise _forbidden("it is no URL") from None
        elif "::" in url or not any(url.startswith(one) for one in self._buckets):
            raise _forbidden("it does not begin with what is allowed here")
        elif url.endswith("/"):  # which is cut off: what is left may be beside an allowed folder
            raise _forbidden("it names no file")

    def check_web(self, url: httpx.URL) -> None:
        """The same of one that a client is about to connect to."""
        try:
            host = url.host
        except UnicodeError:  # Punycode that is none
            raise _forbidden("it is no URL") from None
        if url.userinfo or _climbs(url.raw_path.decode("ascii").partition("?")[0]):
            raise _forbidden("it has a user, or steps that it must not have")
        for one, any_host in zip(self._web, self._any_host, strict=True):
            same_host = any_host or one.host == host
            same = same_host and one.scheme == url.scheme and _port(one) == _port(url)
            if same and url.raw_path.startswith(one.raw_path):
                return
        raise _forbidden("it does not begin with what is allowed here")


def is_web(url: str) -> bool:
    """Or else it names something in a bucket."""
    return url.partition(":")[0].lower() in _WEB


class CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to allowed URLs at public addresses alone. Each request raises `Problem` 403 for
    others, and 502 where the name leads nowhere."""

    def __init__(self, allowed: AllowedUrls, private: bool):
        """`private`: whether addresses that are not public are allowed too."""
        self._allowed = allowed
        self._private = private
        # No connection serves two requests: it was verified for the name of one.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._allowed.check_web(request.url)
        address = await self._address(request.url.host, _port(request.url))
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # with the name as `Host`
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": request.url.host},
        )
        answer = await self._inner.handle_async_request(pinned)
        if not answer.has_redirect_location:
            return answer
        await answer.aclose()  # its body may never end, and httpx would read all of it
        location = [field for field in answer.headers.raw if field[0].lower() == b"location"]
        return httpx.Response(answer.status_code, headers=location)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _address(self, host: str, port: int) -> str:
        """One of the host's addresses, of which every one is allowed."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise failed("its host cannot be found") from None
        addresses = [str(information[4][0]) for information in found]
        if not self._private and not all(map(is_public, addresses)):
            raise _forbidden("its host is not on the public Internet")
        return addresses[0]


def checked_client(
    allowed: AllowedUrls, private: bool, read_timeout: float, redirects: bool
) -> httpx.AsyncClient:
    """A client that goes nowhere else, by no proxy either."""
    return httpx.AsyncClient(
        transport=CheckedTransport(allowed, private),
        trust_env=False,
        follow_redirects=redirects,
        max_redirects=5,
        timeout=httpx.Timeout(read_timeout, connect=10),
        headers={"User-Agent": "encodec-service", "Accept-Encoding": "identity"},
    )


@cache
def _tls() -> ssl.SSLContext:
    """For all clients: the certificate authorities are read once, which takes 30 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _port(url: httpx.URL) -> int:
    return url.port or _PORTS.get(url.scheme, 0)


def _climbs(path: str) -> bool:
    """Whether a folder in it is `.` or `..`, however often encoded, and whatever parameters it has
    (`..;x`, which some servers take for `..`)."""
    while (decoded := unquote(path)) != path:
        path = decoded
    steps = path.replace("\\", "/").split("/")
    return any(step.partition(";")[0] in (".", "..") for step in steps)


def _forbidden(reason: str) -> Problem:
    return Problem(ProblemCode.URL_FORBIDDEN, reason)


def failed(reason: str) -> Problem:
    """The problem of a URL that is allowed and does not work."""
    return Problem(ProblemCode.URL_FAILED, reason)
