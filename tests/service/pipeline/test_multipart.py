"""multipart/form-data: the one part `file`, in chunks of any size, and what is refused."""

import httpx
import numpy as np
import pytest

from service.http.problems import Problem
from service.pipeline.multipart import FilePart
from tests.service.calls import compressed, refused
from tests.service.sounds import wav

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
        data += part.feed(body[start : start + size])
    part.finish()
    return part, data


@pytest.mark.parametrize("size", [1, 2, 7, 13, 1000, 10_000])
def test_the_file_is_the_same_however_the_body_is_cut_into_chunks(size: int) -> None:
    part, data = read(BODY, size)
    assert data == DATA
    assert part.filename == "grüße.flac"
    assert part.content_type == "audio/flac"


@pytest.mark.parametrize("end", [1, 20, 60, 150, 1000, len(BODY) - 24])
def test_a_body_that_ends_early_is_refused(end: int) -> None:
    with pytest.raises(Problem) as caught:
        read(BODY[:end], 64)
    assert caught.value.status == 400


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=",
                                  f"multipart/form-data; boundary={'x' * 1000}"])  # fmt: skip
def test_a_content_type_without_a_usable_boundary_is_refused(kind: str) -> None:
    with pytest.raises(Problem):
        FilePart(kind)


@pytest.mark.parametrize("size", [1, 9, 10_000])
@pytest.mark.parametrize("preamble", [b"\r\n", b"For old readers.\r\n", b"--bounda\r\n\r\n--x\r\n"])
def test_a_preamble_is_ignored(preamble: bytes, size: int) -> None:
    assert read(preamble + BODY, size)[1] == DATA


def test_a_body_without_a_boundary_is_refused_early() -> None:
    with pytest.raises(Problem, match="no boundary"):
        read(bytes(200_000) + BODY, 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b"--x--\r\n",
        b"--y\r\n\r\n--y--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc',
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x',
        b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--x--\r\n',
        b"--x\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\nno header\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\nabc\r\n--x--\r\n",
    ],
)
def test_a_malformed_body_is_a_400(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for call in ("/compress", "/inspect", "/decompress/upload"):
        problem = refused(client.post(call, content=body, headers=headers), 400, "bad_request")
        assert "multipart" in problem["detail"]


def test_other_parts_and_a_second_file_are_refused(client: httpx.Client) -> None:
    file = compressed(client, wav(0.1))
    headers = {"content-type": "multipart/form-data"}
    answer = client.post("/compress", content=b"--x", headers=headers)
    assert "boundary" in refused(answer, 400, "bad_request")["detail"]
    twice = [("file", ("a", file)), ("file", ("b", file))]
    refused(client.post("/decompress", files=twice), 400, "bad_request")
    for parts in ([("file", wav()), ("lm", b"true")], [("lm", b"true"), ("file", wav())]):
        problem = refused(client.post("/compress", files=parts), 400, "bad_request")
        assert "parameters go into the query" in problem["detail"]
