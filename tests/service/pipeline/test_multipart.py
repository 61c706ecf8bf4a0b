"""The part `file`, however the body is cut into chunks."""

import numpy as np
import pytest

from service.http.problems import Problem
from service.pipeline.multipart import FilePart

DATA = np.random.default_rng(3).bytes(3000) + b"\r\n--x\r-\n--boundar\r\n\r\n"
BODY = (
    b"--boundary\r\nContent-Disposition: form-data; name=file; filename="
    + '"grüße.flac"'.encode()
    + b"\r\ncontent-type: audio/flac\r\n\r\n"
    + DATA
    + b"\r\n--boundary--\r\nepilogue"
)
KIND = 'multipart/form-data; boundary="boundary"'


def read(body: bytes, size: int) -> tuple[FilePart, bytes]:
    part = FilePart(KIND)
    data = b""
    for start in range(0, len(body), size):
        part.feed(body[start : start + size])
        data += part.take()
    part.finish()
    return part, data


@pytest.mark.parametrize("size", [1, 2, 7, 13, 1000, 10_000])
def test_however_it_is_cut(size: int) -> None:
    part, data = read(BODY, size)
    assert data == DATA
    assert part.filename == "grüße.flac"
    assert part.content_type == "audio/flac"


@pytest.mark.parametrize("end", [1, 20, 60, 150, 1000, len(BODY) - 24])
def test_cut_short(end: int) -> None:
    with pytest.raises(Problem) as caught:
        read(BODY[:end], 64)
    assert caught.value.status == 400


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=",
                                  f"multipart/form-data; boundary={'x' * 1000}"])  # fmt: skip
def test_a_boundary_is_needed(kind: str) -> None:
    with pytest.raises(Problem):
        FilePart(kind)


@pytest.mark.parametrize("size", [1, 9, 10_000])
@pytest.mark.parametrize("preamble", [b"\r\n", b"For old readers.\r\n", b"--bounda\r\n\r\n--x\r\n"])
def test_what_stands_before_the_first_boundary_is_ignored(preamble: bytes, size: int) -> None:
    assert read(preamble + BODY, size)[1] == DATA


def test_a_body_without_its_boundary_is_not_kept() -> None:
    with pytest.raises(Problem, match="no boundary"):
        read(bytes(200_000) + BODY, 1000)
