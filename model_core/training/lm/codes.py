"""The codes of a cache's recordings, as the codec makes them, stored on disk.

The language model codes streams: at 24 kHz a whole recording, at 48 kHz each of its segments, at
which the coder starts anew.
"""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchaudio.functional import resample
from tqdm import tqdm

from ...checkpoints.files import replace_with
from ...codec import Codec, Encoder, Runner, Work, run_now
from ...codec.work import Inline
from ...engine import EncodedBlock
from ...errors import TrainingDataError, WeightsError
from ...nn.network import EncodecNetwork
from ..data.cache import AudioCache, Recording

GAINS = (-10.0, 6.0)  # dB
SPEEDS = (94, 106)  # per cent
LATEST_START = 1.0  # s


@dataclass(frozen=True)
class CodeStreams:
    """Concatenated codes, int16 `[K, N]`, of S streams.

    Stream s is in columns `starts[s]` to `starts[s + 1]` (`[S + 1]`).
    """

    codes: np.ndarray
    starts: np.ndarray
    categories: tuple[str, ...]

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each stream, `[S]`."""
        return np.diff(self.starts)

    def stream(self, index: int) -> np.ndarray:
        """Codes `[K, T]` of one stream."""
        return self.codes[:, self.starts[index] : self.starts[index + 1]]

    @classmethod
    def join(cls, parts: "Sequence[CodeStreams]") -> "CodeStreams":
        """All streams of several sets."""
        ends = np.concatenate([part.lengths for part in parts]).cumsum()
        return cls(
            np.concatenate([part.codes for part in parts], axis=1),
            np.concatenate([[0], ends]),
            sum((part.categories for part in parts), ()),
        )


def streams_of(
    codec: Codec, cache: AudioCache, split: str, folder: Path, number: int = 0, seed: int = 1
) -> CodeStreams:
    """The streams of one split, from `folder` if they are already coded.

    Pass `number` 0 uses the recordings unchanged; later passes start a little later, with another
    gain, sign and speed, to give other codes. Raises `TrainingDataError` if the split has no
    recordings and `WeightsError` for an unreadable file.
    """
    recordings = [r for r in cache.recordings if r.split == split and r.length > 0]
    if not recordings:
        hint = "; prepare it with --valid-share above 0" if split == "valid" else ""
        raise TrainingDataError(f"the cache has no recordings of the split {split!r}{hint}")
    key = hashlib.sha256()
    key.update(json.dumps([codec.name, number, seed if number else 0]).encode())
    key.update(json.dumps([asdict(r) for r in recordings]).encode())
    if cache.origin is not None:
        key.update(cache.origin.encode())
    path = folder / f"{split}-{number}-{key.hexdigest()[:12]}.npz"
    if path.exists():
        return _load(path)
    parts: list[np.ndarray] = []
    categories: list[str] = []
    label = f"codes of {split}, pass {number}"
    for recording, blocks in tqdm(
        _encode_all(codec, cache, recordings, number, seed), label, len(recordings), unit="file"
    ):
        found = [block.codes for block in blocks]
        if codec.config.segment is None:
            found = [np.concatenate(found, axis=1)]
        parts += [codes.astype(np.int16) for codes in found]
        categories += [recording.category] * len(found)
    starts = np.cumsum([0, *(part.shape[1] for part in parts)])
    streams = CodeStreams(np.concatenate(parts, axis=1), starts, tuple(categories))
    _save(streams, path)
    return streams


def _encode_all(
    codec: Codec, cache: AudioCache, recordings: list[Recording], number: int, seed: int
) -> Iterator[tuple[Recording, list[EncodedBlock]]]:
    """Recordings of similar length share a batch of the size of the engine's."""
    size = codec.encode_task.max_batch
    ordered = sorted(recordings, key=lambda r: -r.length)
    for first in range(0, len(ordered), size):
        group = ordered[first : first + size]
        waves = [_wave(codec, cache, recording, number, seed) for recording in group]
        yield from zip(group, _encode_together(codec, waves), strict=True)


def _wave(
    codec: Codec, cache: AudioCache, recording: Recording, number: int, seed: int
) -> np.ndarray:
    """Samples `[C, n]` of a recording, changed as pass `number` requires."""
    if number == 0:
        return cache.read(recording, 0, recording.length).numpy()
    rng = np.random.default_rng([seed, number, recording.start])
    latest = min(round(LATEST_START * codec.config.sample_rate), recording.length // 2)
    start = int(rng.integers(0, latest + 1))
    x = cache.read(recording, start, recording.length - start)
    x = resample(x, int(rng.integers(SPEEDS[0], SPEEDS[1] + 1)), 100)
    x = x * float(10 ** (rng.uniform(*GAINS) / 20) * rng.choice([-1, 1]))
    return (x / max(1.0, float(x.abs().max()))).numpy()


async def _whole(codec: Codec, samples: np.ndarray, runner: Runner) -> list[EncodedBlock]:
    encoder = Encoder(codec, codec.config.num_codebooks, runner)
    return await encoder.push(samples) + await encoder.finish()


def _encode_together(codec: Codec, waves: list[np.ndarray]) -> list[list[EncodedBlock]]:
    """Encode several streams in step: blocks of all of them fill the engine's batch."""

    async def all_of_them() -> list[list[EncodedBlock]]:
        runner = _InStep()
        return await asyncio.gather(*(_whole(codec, wave, runner) for wave in waves))

    return asyncio.run(all_of_them())


class _InStep(Inline):
    """A `Runner` that runs the works of all waiting streams as one list."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Sequence[Work], asyncio.Future[list[Any]]]] = []

    async def run(self, works: Sequence[Work], *, in_order: bool = False) -> list[Any]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run_all)  # after all streams that can continue now
        result: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((works, result))
        return await result

    def _run_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            results = iter(run_now(super().run([work for works, _ in waiting for work in works])))
        except Exception as error:  # noqa: BLE001  raised in each stream
            for _, result in waiting:
                result.set_exception(error)
            return
        for works, result in waiting:
            result.set_result(list(islice(results, len(works))))


def _save(streams: CodeStreams, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_with(path) as file:
        np.savez(
            file,
            codes=streams.codes,
            starts=streams.starts,
            categories=np.array(streams.categories, dtype=np.str_),
        )


def _load(path: Path) -> CodeStreams:
    try:
        with np.load(path, allow_pickle=False) as file:
            categories = tuple(str(c) for c in file["categories"])
            return CodeStreams(file["codes"], file["starts"], categories)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not the codes of a training run: {error}") from error


def codebook_entries(model: EncodecNetwork) -> torch.Tensor:
    """The codec's codebooks, float32 `[K, card, D]`."""
    books = model.quantizer.codebooks
    return torch.stack([book.codebook.embed.detach().float().cpu() for book in books])
