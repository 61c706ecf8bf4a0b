"""Cross-origin calls, from the pages of the origins that the operator names."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ..timings import SERVER_TIMING
from .problems import Problem, ProblemCode, problem_response
from .request_stats import REQUEST_ID

EXPOSED = (
    REQUEST_ID,
    "X-Encodec-Model",
    "X-Encodec-Weights",
    "X-Encodec-Bandwidth",
    "X-Encodec-Warning",
    "X-Encodec-Salvaged",
    "X-Encodec-Cache",
    "X-Audio-Duration",
    "X-Compressed-Bytes",
    "X-Compressed-Kbps",
    "Content-Disposition",
    "Retry-After",
    "RateLimit-Policy",
    "RateLimit",
    "Location",
    "Preference-Applied",
    "ETag",
    "Accept-Ranges",
    "Content-Range",
    SERVER_TIMING,
    "traceresponse",
)
"""Headers of answers that scripts of another origin may read besides the usual ones."""
_SECONDS = 3600  # for which a browser may remember what is allowed


class _Cors(CORSMiddleware):
    """Refuses a preflight as the service refuses everything: with a problem."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        refused = problem_response(Problem(ProblemCode.BAD_REQUEST, bytes(answer.body).decode()))
        for name in ("content-length", "content-type"):
            del answer.headers[name]
        refused.headers.update(answer.headers)
        return refused


def add_cors(app: Starlette, origins: Sequence[str]) -> None:
    """Let pages of `origins` call the app. They send their keys in headers; there are no cookies.

    A preflight from another origin is answered with 400.
    """
    app.add_middleware(
        _Cors,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
        max_age=_SECONDS,
    )
