"""The Python client, waiting and asynchronous, against the running service."""

import asyncio
import io
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import encodec_client.options as options_of
import encodec_client.types as documents
import httpx
import numpy as np
import pytest
from encodec_client import (
    Answer,
    AsyncClient,
    Client,
    ConnectionFailedError,
    ProblemError,
    Retries,
    Transferred,
)

from tests.clients.python.faulty import BUSY, CUT, RESET, WHOLE, faulty
from tests.service.live import Live
from tests.service.sounds import wav

Call = Callable[..., Any]


class _Waiting:
    """The asynchronous client, used as the other one."""

    def __init__(self, *args: Any, **options: Any):
        self._client = AsyncClient(*args, **options)
        self._loop = asyncio.Runner()

    def __getattr__(self, name: str) -> Call:
        method = getattr(self._client, name)
        return lambda *args, **options: self._loop.run(method(*args, **options))

    def __enter__(self) -> "_Waiting":
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.run(self._client.close())
        self._loop.close()


KINDS = pytest.mark.parametrize("make", [Client, _Waiting], ids=["Client", "AsyncClient"])


@KINDS
def test_every_call_gives_what_the_service_gives(make: Call, server: Live, tmp_path: Path) -> None:
    audio = wav(1.3)
    with make(server.url) as client, server.client() as plain:
        ecdc = plain.post("/compress?format=1&bandwidth=3", content=audio).content
        compressed = client.compress(audio, format=1, bandwidth=3)
        assert compressed.content == ecdc
        assert compressed.facts.model == "encodec_24khz"
        assert compressed.facts.bandwidth == 3
        assert compressed.facts.duration == 1.3
        assert compressed.facts.compressed_bytes == len(ecdc)
        assert compressed.facts.filename == "audio.ecdc"
        assert client.transcode(ecdc, bandwidth=1.5).facts.bandwidth == 1.5
        whole = plain.post("/decompress", content=ecdc).content
        assert client.decompress(ecdc).content == whole
        part = client.decompress(ecdc, start=0.5, end=1.0, output="s16")
        assert part.content == whole[44:][24_000:48_000]
        assert client.roundtrip(audio, format=1, bandwidth=3).content == whole
        assert client.inspect(ecdc)["intact"] is True
        codes = client.codes(audio, bandwidth=3)
        archive = client.codes_npz(audio, bandwidth=3, to=tmp_path / "codes.npz")
        assert archive.content == b""
        with np.load(tmp_path / "codes.npz") as saved:
            assert (saved["codes"].reshape(4, -1) == codes["segments"][0]["codes"]).all()
        assert [model["name"] for model in client.models()] == ["encodec_24khz", "encodec_48khz"]
        assert client.ready() is True


@KINDS
@pytest.mark.parametrize("kind", ["path", "text", "bytes", "view", "file", "pipe", "pieces"])
def test_every_kind_of_source_is_sent_whole(
    make: Call, kind: str, server: Live, tmp_path: Path
) -> None:
    audio = wav(3)
    path = tmp_path / "audio.wav"
    path.write_bytes(audio)
    middle = io.BytesIO(b"skipped" + audio)
    middle.seek(7)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    sources: dict[str, Any] = {
        "path": path,
        "text": str(path),
        "bytes": audio,
        "view": memoryview(audio),
        "file": middle,
        "pipe": Pipe(audio),
        "pieces": (audio[start : start + 10_000] for start in range(0, len(audio), 10_000)),
    }
    with make(server.url) as client, server.client() as plain:
        expected = plain.post("/compress", content=audio).content
        assert client.compress(sources[kind]).content == expected


def test_asynchronous_pieces_are_sent_as_they_come(server: Live) -> None:
    audio = wav(1)

    async def pieces() -> AsyncIterator[bytes]:
        yield audio[:9999]
        await asyncio.sleep(0.01)
        yield audio[9999:]

    async def compressed() -> Answer:
        async with AsyncClient(server.url) as client:
            return await client.compress(pieces())

    with server.client() as plain:
        expected = plain.post("/compress", content=audio).content
    assert asyncio.run(compressed()).content == expected


def test_a_client_that_waits_takes_no_asynchronous_pieces(server: Live) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b""

    source: Any = pieces()
    with Client(server.url) as client, pytest.raises(TypeError, match="AsyncClient"):
        client.compress(source)


def test_audio_comes_while_it_is_decoded(server: Live) -> None:
    with Client(server.url) as client:
        ecdc = client.compress(wav(20)).content
        whole = client.decompress(ecdc).content
        with client.stream_decompress(ecdc) as answer:
            pieces = list(answer)
        assert len(pieces) > 2
        assert b"".join(pieces) == whole
        with client.stream_roundtrip(wav(20)) as answer:
            assert answer.facts.duration == 20
            assert b"".join(answer) == whole

    async def streamed() -> bytes:
        async with AsyncClient(server.url) as client:
            async with await client.stream_decompress(ecdc) as first:
                found = b"".join([piece async for piece in first])
            async with await client.stream_roundtrip(wav(20)) as second:
                assert b"".join([piece async for piece in second]) == found
            return found

    assert asyncio.run(streamed()) == whole


@KINDS
def test_progress_tells_all_that_is_transferred(make: Call, server: Live) -> None:
    audio = wav(5)
    told: list[Transferred] = []
    with make(server.url) as client:
        answer = client.compress(audio, progress=told.append)
    assert told[0] == Transferred(sent=1 << 16, to_send=len(audio))
    size = len(answer.content)
    assert told[-1] == Transferred(len(audio), len(audio), size, size)


@KINDS
def test_a_problem_is_an_error_with_all_that_the_service_says(make: Call, server: Live) -> None:
    with make(server.url) as client:
        with pytest.raises(ProblemError, match="400 undecodable_audio: The audio") as caught:
            client.compress(b"no audio")
        assert caught.value.status == 400
        assert caught.value.request_id
        with pytest.raises(ProblemError) as caught:
            client.compress(wav(0.1), bandwidth=7)
        assert caught.value.code == "unsupported_bandwidth"
        with pytest.raises(ProblemError) as caught:
            client.decompress(wav(0.1), sample_rate="any")
        assert caught.value.code == "bad_parameter"
        assert caught.value.errors[0]["name"] == "sample_rate"


@KINDS
def test_a_target_is_whole_or_as_it_was(make: Call, server: Live, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    target.write_bytes(b"before")
    with make(server.url, retries=Retries(0)) as client:
        ecdc = client.compress(wav(1)).content
        with pytest.raises(ProblemError):
            client.decompress(ecdc[:-10], to=target)
        with faulty([CUT]) as cut, make(cut.url, retries=Retries(0)) as other:  # noqa: SIM117
            with pytest.raises(ConnectionFailedError):
                other.decompress(ecdc, to=target)
        assert target.read_bytes() == b"before"
        client.decompress(ecdc, to=target)
        assert target.read_bytes() == client.decompress(ecdc).content
        opened = io.BytesIO()
        client.decompress(ecdc, to=opened)
        assert opened.getvalue() == target.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


@KINDS
@pytest.mark.parametrize("fault", [BUSY, RESET, CUT], ids=["busy", "reset", "cut"])
def test_a_call_is_tried_again(make: Call, fault: bytes, tmp_path: Path) -> None:
    with faulty([fault, WHOLE]) as server, make(server.url) as client:
        client.decompress(b"audio", to=tmp_path / "whole")
        assert server.bodies == [b"audio"] * 2
    assert (tmp_path / "whole").read_bytes() == b"whole"


@KINDS
def test_deleting_is_not_tried_again(make: Call) -> None:
    """The first call may have cancelled the job, and a second one would forget it."""
    with (
        faulty([RESET]) as server,
        make(server.url) as client,
        pytest.raises(ConnectionFailedError),
    ):
        client.delete_job("x")


@KINDS
def test_what_cannot_be_sent_again_is_not(make: Call) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"audio"

    with faulty([BUSY]) as server, make(server.url) as client:
        with pytest.raises(ProblemError) as caught:
            client.compress(pieces())
        assert caught.value.code == "busy"
        assert caught.value.retry_after == 0


@KINDS
def test_a_file_of_the_caller_is_not_written_twice(make: Call) -> None:
    written = io.BytesIO()
    broken = pytest.raises(ConnectionFailedError)
    with faulty([BUSY, CUT]) as server, make(server.url) as client, broken:
        client.decompress(b"audio", to=written)
    assert written.getvalue() == b"wh"


@KINDS
def test_a_service_that_is_not_there(make: Call) -> None:
    with faulty([]) as server:
        url = server.url
    with make(url, retries=Retries(1)) as client:
        assert client.ready() is False
        with pytest.raises(ConnectionFailedError, match="ConnectError"):
            client.models()


def test_how_long_a_client_waits() -> None:
    retries = Retries(times=2, longest_wait=10)
    busy = ProblemError(429, "busy", "", retry_after=7)
    assert [retries.wait(busy, tried) for tried in (1, 2, 3)] == [7, 7, None]
    assert retries.wait(ProblemError(503, "", "", retry_after=11), 1) is None
    assert retries.wait(ProblemError(408, "", ""), 1) == 0
    assert retries.wait(ProblemError(504, "", ""), 1) == 2
    assert retries.wait(ProblemError(400, "", ""), 1) is None
    assert retries.wait(ConnectionFailedError(), 1) == 0
    assert retries.wait(ConnectionFailedError(), 2) == 1


def test_options_are_the_parameters_of_the_service(server: Live) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    for path, options in {
        "/compress": options_of.CompressOptions,
        "/decompress": options_of.DecompressOptions,
        "/roundtrip": options_of.RoundtripOptions,
        "/transcode": options_of.TranscodeOptions,
        "/codes": options_of.CodesOptions,
    }.items():
        found = paths[path]["post"]["parameters"]
        parameters = {one["name"] for one in found if one["in"] == "query"}
        of_a_job = {"source", "destination", "webhook"} & parameters
        assert set(typing.get_type_hints(options)) - {"content_type"} == parameters - of_a_job
        if of_a_job:
            assert parameters <= set(typing.get_type_hints(options_of.JobOptions))


def test_documents_are_those_of_the_service(server: Live) -> None:
    schemas = httpx.get(f"{server.url}/openapi.json").json()["components"]["schemas"]
    names = {name: name for name in ("Codes", "CodesSegment", "Inspection", "ModelInfo")}
    for name, schema in (names | {"Job": "JobDocument", "JobProgress": "JobProgress"}).items():
        fields = set(typing.get_type_hints(getattr(documents, name)))
        assert fields == set(schemas[schema]["properties"])


def test_both_clients_have_the_same_calls() -> None:
    public = [
        {name for name in vars(one) if not name.startswith("_")} for one in (Client, AsyncClient)
    ]
    assert public[0] == public[1]
