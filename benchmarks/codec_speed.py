"""Speed of the codec beside the reference implementation, in one process, same weights.

    python -m benchmarks.codec_speed [--seconds 10] [--threads 1] [--runs 5]

Both take turns (A B A B …); medians and their ratio are printed, in seconds of audio a second.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from encodec import EncodecModel as ReferenceModel

from model_core.codec import Codec, Encoder, run_steps
from model_core.config import CONFIGS
from model_core.engine import DecodeItem, EncodedBlock, StreamState
from model_core.model import EncodecModel, EncodedFrame


def paired(a: Callable[[], object], b: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median seconds of each, the two taking turns after one warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for function, kept in zip((a, b), times, strict=True):
            began = time.perf_counter()
            function()
            if run:
                kept.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    torch.set_num_threads(arguments.threads)
    print(f"{platform.machine()}, torch {torch.__version__}, {arguments.threads} thread(s)")
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        factory = getattr(ReferenceModel, name.replace("encodec_", "encodec_model_"))
        reference = factory(pretrained=False)
        reference.set_target_bandwidth(6.0)
        model = EncodecModel(config, name)
        model.load_state_dict(reference.state_dict())
        codec = Codec(model)
        wav = 0.1 * torch.randn(1, config.channels, arguments.seconds * config.sample_rate)
        samples = wav[0].numpy()
        codebooks = config.codebooks_for(6.0)
        with torch.no_grad():
            frames = reference.encode(wav)

        def encode(codec: Codec = codec, x: np.ndarray = samples, k: int = codebooks) -> None:
            encoder = Encoder(codec, k)
            run_steps(encoder.push(x))
            run_steps(encoder.finish())

        def decode(codec: Codec = codec, frames: list[EncodedFrame] = frames) -> None:
            size = codec.engine.block_frames
            for codes, scale in frames:
                state, length = StreamState(), codes.shape[-1]
                for start in range(0, length, size):
                    block = EncodedBlock(
                        codes[0, :, start : start + size].numpy(),
                        None if scale is None else float(scale),
                    )
                    codec.engine.decode([DecodeItem(block, start + size >= length, state)])

        def their_encode(reference: ReferenceModel = reference, x: torch.Tensor = wav) -> None:
            with torch.no_grad():
                reference.encode(x)

        def their_decode(
            reference: ReferenceModel = reference,
            frames: list[EncodedFrame] = frames,
        ) -> None:
            with torch.no_grad():
                reference.decode(frames)

        for label, ours, theirs in (
            ("encode", encode, their_encode),
            ("decode", decode, their_decode),
        ):
            mine, other = paired(ours, theirs, arguments.runs)
            print(
                f"{name} {label}: {arguments.seconds / mine:6.1f}x real time, reference"
                f" {arguments.seconds / other:6.1f}x, ratio {other / mine:.2f}"
            )


if __name__ == "__main__":
    main()
