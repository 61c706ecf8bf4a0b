"""The service itself, without a socket: its device, weights, backend, decoder, and a real pass."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
from fastapi import FastAPI

from model_core.audio import pcm16, wav_header
from model_core.codec.work import CPU
from model_core.engine.native import find_library

from ..app import create_app
from ..decoder.decoder import Decoder
from ..decoder.protocol import DecodeRequest, DecoderError
from ..http.auth import require_key
from ..inference.device_watch import describe
from ..inference.model_pool import ModelPool, ServedModel
from ..settings import Settings
from .findings import Finding, fail, ok, warn

_LOADING = 900.0  # s, with downloads
_RATE = 44_100  # Hz: not the models' own, so that it is resampled
_DRIVER = Path("/proc/driver/nvidia/version")
_FILTER = "few system calls"
_REINSTALL = "install the package where there is a C++ compiler (g++ 11 or later)"


async def try_service(settings: Settings) -> AsyncIterator[Finding]:
    """Load the models, decode, and compress and decompress a second of sound with each model.

    Without what has checks of its own (keys, jobs, traces): a fault there hides nothing else, and
    the jobs of a service that runs beside it are left to that.
    """
    without = {"api_keys_file": None, "jobs_dir": None, "tracing": False}
    settings = settings.model_copy(update=without)
    try:
        app = create_app(settings)
    except ValueError as error:
        yield fail("service", str(error), "see the lines above; the service does not start")
        return
    device: str = app.state.device
    yield _device(settings, device)
    async with app.router.lifespan_context(app):
        pool: ModelPool = app.state.models
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOADING):
                await pool.until_loaded()
        if pool.state != "ready":
            reason = pool.error or f"not loaded in {_LOADING:g} s"
            advice = "see ENCODEC_WEIGHTS (`bundled` needs no network) and ENCODEC_BACKEND"
            yield fail("weights", reason, advice)
        for served in pool.served():
            for finding in _model(served):
                yield finding
        async for finding in _decoder(app):
            yield finding
        if pool.state == "ready" and app.state.decoders.running:
            for served in pool.served():
                yield await _pass(app, served.config.name)


def _device(settings: Settings, device: str) -> Finding:
    if device != CPU:
        return ok("device", f"{device}: {describe(device)}, driver {_driver() or 'unknown'}")
    if settings.device == "auto" and (driver := _driver()):
        advice = "its torch may be built for CPUs, or the driver too old: CUDA 13.0 needs 580"
        return warn("device", f"cpu, though there is an NVIDIA driver ({driver})", advice)
    return ok("device", "cpu" if settings.device == CPU else "cpu: there is no CUDA device")


def _driver() -> str:
    """The version of NVIDIA's, empty where there is none."""
    try:
        words = _DRIVER.read_text().split()
    except OSError:
        return ""
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")


def _model(served: ServedModel) -> Iterator[Finding]:
    codec = served.codec
    if codec is None or codec.weights is None:
        return
    name, weights = served.config.name, codec.weights
    text = f"{codec.name} from {weights.origin} ({weights.source}), verified"
    if weights.note:
        advice = "let it reach the server, or set ENCODEC_WEIGHTS=bundled to have no doubt"
        yield warn("weights", f"{text}; {weights.note}", advice)
    else:
        yield ok("weights", text)
    if not codec.has_lm:
        yield warn("weights", f"{name} has no language model", "lm=true is answered 409")
    engine, library = codec.engine.name, find_library()
    text = f"{name} runs on {engine}, {codec.device}"
    if codec.device == CPU and engine.startswith("torch"):
        why = "it was not compiled" if library is None else "this model or precision needs torch"
        advice = _REINSTALL if library is None else "see ENCODEC_BACKEND, ENCODEC_DECODE_PRECISION"
        yield warn("backend", f"{text}, not on the faster native engine: {why}", advice)
    elif codec.device == CPU and library is not None:
        yield ok("backend", f"{text}: the best build for this processor is {library.build}")
    else:
        yield ok("backend", f"{text}, {codec.engine.max_batch} blocks in a batch")


async def _decoder(app: FastAPI) -> AsyncIterator[Finding]:
    """A real upload in a real child, and what that child may do."""
    audio = _sound()
    request = DecodeRequest(24_000, 1, size=len(audio))
    try:
        await app.state.decoders.start()
        async with app.state.decoders.open(request) as decoder:
            await decoder.feed(audio)
            await decoder.end_of_input()
            samples = sum([block.shape[1] async for block in decoder.blocks()])
            confinement = _confinement(decoder)  # the child waits for the end of its socket
    except (DecoderError, OSError) as error:
        advice = "see the log; a seccomp profile or a limit on processes may forbid it"
        yield fail("decoder", str(error), advice)
        return
    if abs(samples - 24_000) > 1:
        yield fail("decoder", f"one second of sound became {samples} samples", _REINSTALL)
    else:
        yield ok("decoder", "FFmpeg decodes in a child process")
    yield confinement


def _confinement(decoder: Decoder) -> Finding:
    """Which limits of `decoder.sandbox` are in force."""
    folder = Path(f"/proc/{decoder.pid}")
    try:
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
        limits = (folder / "limits").read_text()
    except OSError as error:
        return warn(
            "sandbox", f"/proc/{decoder.pid} cannot be read: {error.strerror}", "mount /proc"
        )
    in_force = {
        "no new privileges": status.get("NoNewPrivs") == "1",
        "no file written": _limit(limits, "Max file size") == "0",
        _FILTER: status.get("Seccomp") == "2",
        "no core dump": _limit(limits, "Max core file size") == "0",
        "no more descriptors": _limit(limits, "Max open files").isdigit()
        and int(_limit(limits, "Max open files")) < 16,
        "bounded memory": _limit(limits, "Max data size").isdigit(),
        "bounded processor time": _limit(limits, "Max cpu time").isdigit(),
    }
    missing = [name for name, there in in_force.items() if not there]
    if missing == [_FILTER]:
        text = "decoders may make any system call: there are no filters (seccomp) here"
        return warn("sandbox", text, "use a kernel with CONFIG_SECCOMP_FILTER, on x86-64 or ARM64")
    if missing:
        text = f"not in force for decoders: {', '.join(missing)}"
        return fail("sandbox", text, "this system does not hold limits (setrlimit, prctl)")
    return ok("sandbox", f"decoders have {', '.join(in_force)}")


def _limit(limits: str, name: str) -> str:
    """The soft one of `/proc/PID/limits`."""
    line = next((line for line in limits.splitlines() if line.startswith(name)), "")
    return (line.removeprefix(name).split() or [""])[0]


async def _no_key() -> None:
    """Stands for `require_key`: the doctor is nobody's client."""


async def _pass(app: FastAPI, model: str) -> Finding:
    """A second of sound, compressed and decompressed, as a client asks for it."""
    app.dependency_overrides[require_key] = _no_key
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://doctor") as client:
        began = time.monotonic()
        answer = await client.post(
            "/roundtrip",
            params={"model": model, "output": "s16"},
            content=_sound(),
            timeout=None,
        )
    took = time.monotonic() - began
    if answer.status_code != 200:
        detail = answer.json().get("detail", "")
        return fail("pass", f"{model}: {answer.status_code} {detail}", "see the service's log")
    if not np.frombuffer(answer.content, "<i2").any():
        return fail("pass", f"{model} answers silence", "the weights are not those of this model")
    return ok("pass", f"{model}: one second of sound there and back in {took * 1000:.0f} ms")


def _sound() -> bytes:
    """A second of it, as a WAV."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(_RATE) / _RATE)
    samples = np.stack([tone, tone]).astype(np.float32)
    return wav_header(_RATE, 2, _RATE) + pcm16(samples)
