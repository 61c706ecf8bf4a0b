"""Writes the vectors beside it: `python -m tests.vectors.make`.

Small `.ecdc` files of both versions, each with a JSON file that says what a reader must find. The
codes come from a fixed seed; they are no audio. A vector never changes: a reader that once read it
must always read it.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from model_core.config import CONFIGS
from model_core.ecdc import BitPacker, scale_to_bytes, segments, v1
from model_core.ecdc import Header as Version0
from tests.model_core.ecdc.v1.files import MONO, STEREO, Example, example

FOLDER = Path(__file__).parent

TAGGED: dict[str, Any] = {
    "rate": 44_100,
    "channels": 2,
    "name": "Étude.flac",
    "gain": -3.5,
    "tags": (("TITLE", "Étude"), ("ARTIST", "A"), ("ARTIST", "B=C\n")),
}
VERSION_1 = {
    "v1-mono": example(v1.Header(MONO, 2, 0, 4, **TAGGED), 3000, 1, original_samples=5512),
    "v1-mono-full": example(v1.Header(f"{MONO}:1a2b3c4d", 4, 0, 4), 2560, 2),
    "v1-mono-second": example(v1.Header(MONO, 8, 0, 76), 48_001, 3),
    "v1-stereo": example(v1.Header(STEREO, 2, 0, 1), 47_600, 4),
    "v1-stereo-pairs": example(v1.Header(STEREO, 4, 0, 2), 142_561, 5),
    "v1-coded": example(v1.Header(f"{MONO}:1a2b3c4d+5e6f7a8b", 8, 1, 4), 7000, 6),
}


def of_version_1(file: Example, data: bytes, complete: bool) -> dict[str, Any]:
    """What a reader must find in a file of version 1."""
    layout = v1.Layout(file.header)
    chunks = []
    for chunk in file.chunks:
        found: dict[str, Any] = {"number": chunk.number, "start": chunk.start}
        found["samples"] = chunk.samples
        found |= {"scales": chunk.scales, "frames": layout.frames(chunk.samples)}
        if file.header.lm:
            found["bytes"] = chunk.codes.hex()
        else:
            codes = v1.unpack_codes(
                chunk.codes, file.header.num_codebooks, 10, layout.frames(chunk.samples)
            )
            found["codes"] = codes.tolist()
        chunks.append(found)
    header = asdict(file.header)
    return {
        "version": 1,
        "header": {"codebooks": header.pop("num_codebooks"), **header},
        "complete": complete,
        "samples": file.samples,
        "original_samples": v1.verify(io.BytesIO(data)).original_samples,
        "chunks": chunks,
    }


def of_version_0(model: str, codebooks: int, samples: int, seed: int) -> tuple[bytes, Any]:
    """A file of version 0 without a language model, and what a reader must find in it."""
    draw, config = Random(seed), CONFIGS[model]
    header = Version0(model, samples, codebooks, False)
    data, found = header.to_bytes(), []
    for segment in segments(config, samples):
        shape = (segment.frames, codebooks)
        codes = np.array([draw.getrandbits(10) for _ in range(shape[0] * shape[1])]).reshape(shape)
        scale = draw.randint(1, 64) / 32 if config.normalize else None
        packer = BitPacker(10)
        data += b"" if scale is None else scale_to_bytes(scale)
        data += packer.push(codes) + packer.flush()
        place = {"start": segment.offset, "samples": segment.samples, "scale": scale}
        found.append(place | {"codes": codes.T.tolist()})
    meta = {"model": model, "codebooks": codebooks, "lm": False}
    return data, {"version": 0, "header": meta, "samples": samples, "segments": found}


def vectors() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Name, file, and what is in it."""
    for name, file in VERSION_1.items():
        yield name, file.data, of_version_1(file, file.data, True)
    growing = VERSION_1["v1-mono"]
    yield "v1-mono-growing", growing.open, of_version_1(growing, growing.open, False)
    yield "v0-mono", *of_version_0(MONO, 2, 3000, 7)
    yield "v0-stereo", *of_version_0(STEREO, 2, 47_600, 8)


def main() -> None:
    for name, data, content in vectors():
        (FOLDER / f"{name}.ecdc").write_bytes(data)
        (FOLDER / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
