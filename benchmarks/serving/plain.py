"""A plain FastAPI wrapper around the reference implementation, to compare our service with.

python -m benchmarks.serving.plain MODEL WEIGHTS BANDWIDTH

It is simple but fair: the model is loaded once, the endpoints are synchronous, so that FastAPI runs
them in its thread pool, and PyAV reads the audio.
"""

import io
import socket
import sys
import wave
from importlib import import_module
from typing import Annotated, Any

import av
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, File, Response, UploadFile

from benchmarks.contenders.reference import reference_model


def create_app(name: str, weights: str, bandwidth: float) -> FastAPI:
    """The app for the model `name`, with its state dict in the file `weights`."""
    model = reference_model(name, torch.load(weights, weights_only=True))
    model.set_target_bandwidth(bandwidth)
    codec, utils = import_module("encodec.compress"), import_module("encodec.utils")
    codec.MODELS[name] = lambda: model  # otherwise every call of `decompress` would load it
    app = FastAPI()

    @app.get("/health/ready")
    def ready() -> None:
        pass

    @app.post("/compress")
    def compress(file: Annotated[UploadFile, File()]) -> Response:
        wav, rate = read_audio(file.file)
        wav = utils.convert_audio(wav, rate, model.sample_rate, model.channels)
        return Response(codec.compress(model, wav), media_type="application/octet-stream")

    @app.post("/decompress")
    def decompress(file: Annotated[UploadFile, File()]) -> Response:
        wav, rate = codec.decompress(file.file.read())
        return Response(wav_bytes(wav, rate), media_type="audio/wav")

    return app


def read_audio(file: Any) -> tuple[torch.Tensor, int]:
    """Samples float32 `[C, n]` and their rate in Hz."""
    with av.open(file, mode="r") as container:
        stream = container.streams.audio[0]
        convert = av.AudioResampler(format="fltp")
        frames = [out for frame in container.decode(stream) for out in convert.resample(frame)]
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
        return torch.from_numpy(samples), int(stream.rate)


def wav_bytes(wav: torch.Tensor, rate: int) -> bytes:
    """`[C, n]` as a 16-bit WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((wav.shape[0], 2, rate, 0, "NONE", ""))
        out.writeframes((wav.clamp(-0.99, 0.99).t() * 32767).round().short().numpy().tobytes())
    return file.getvalue()


def main(arguments: list[str]) -> None:
    name, weights, bandwidth = arguments
    app = create_app(name, weights, float(bandwidth))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app)).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1:])
