"""The samples of a cache in a small file, for a machine that has nothing but numpy.

Each block of 4096 samples is predicted linearly from its own past (order 16, as in FLAC) and the
residual is Rice-coded. numpy processes all blocks of a chunk at once, one sample of each at a time.
Arithmetic is on integers within float64, so it is exact on every machine.

The file is a sequence of `.npy` arrays: C, N and the format's version; then, for each chunk of a
channel's blocks, coefficients, dropped bits, Rice parameters, quotients and remainders; at the end
the sha256 of everything before. Files of the first version have neither version nor checksum.
"""

import hashlib
import os
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ...errors import TrainingDataError

VERSION = 2
BLOCK = 4096  # samples
ORDER = 16
_CHUNK = 1024  # blocks processed at once
_PART = 256  # samples that share a Rice parameter
_SCALE = 4096.0  # of the integer coefficients
_WIDEST = 18  # largest Rice parameter
Ints = npt.NDArray[np.int64]
BROKEN = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, MemoryError),
    *(TokenError, zipfile.BadZipFile),
)
"""What reading `.npy` arrays raises for other files."""


def write_pack(audio: npt.NDArray[np.int16], path: Path, noise_db: float | None = None) -> None:
    """Write int16 `[C, N]` to `path`; lossless unless `noise_db` is given.

    With it, each block loses low bits while the noise stays `noise_db` below the block's own power
    (40 gives about half the size).
    """
    with path.open("w+b") as file:
        np.save(file, np.asarray([*audio.shape, VERSION], np.int64))
        step = _CHUNK * BLOCK
        for channel in audio:
            for start in range(0, audio.shape[1], step):
                part = np.asarray(channel[start : start + step], np.int64)
                part = np.pad(part, (0, -len(part) % BLOCK)).reshape(-1, BLOCK)
                _write_chunk(file, part, noise_db)
        file.write(_checksum(file, file.tell()))


def read_pack(path: Path) -> npt.NDArray[np.int16]:
    """The whole audio `[C, N]`, decoded into memory.

    Raises `TrainingDataError` for a file that is truncated, changed or not a pack.
    """
    try:
        with path.open("rb") as file:
            audio = np.empty(_read_shape(file), np.int16)
            step = _CHUNK * BLOCK
            for channel in audio:
                for start in range(0, audio.shape[1], step):
                    place = channel[start : start + step]
                    place[:] = _read_chunk(file).reshape(-1)[: len(place)]
    except BROKEN as error:
        raise TrainingDataError(f"{path} cannot be read: {error}") from error
    return audio


def _read_shape(file: BinaryIO) -> tuple[int, int]:
    """C and N, after checking that the file is whole (first version: large enough)."""
    channels, length, *version = (int(n) for n in _load(file))
    size = os.fstat(file.fileno()).st_size
    if version not in ([], [VERSION]):
        raise ValueError(f"a pack of version {version[0]}")
    if min(channels, length) < 0 or channels * length > 8 * size:  # a sample has at least one bit
        raise ValueError("it is cut short or was changed")
    if version:
        start, content = file.tell(), size - hashlib.sha256().digest_size
        if _checksum(file, content) != file.read():
            raise ValueError("it is cut short or was changed: its checksum is wrong")
        file.seek(start)
    return channels, length


def _checksum(file: BinaryIO, size: int) -> bytes:
    """The sha256 of the file's first `size` bytes; leaves the file after them."""
    file.seek(0)
    sha = hashlib.sha256()
    while part := file.read(min(1 << 20, max(0, size - file.tell()))):
        sha.update(part)
    return sha.digest()


def _load(file: BinaryIO) -> npt.NDArray[np.generic]:
    array: npt.NDArray[np.generic] = np.load(file, allow_pickle=False)
    return array


def _write_chunk(file: BinaryIO, blocks: Ints, noise_db: float | None) -> None:
    dropped = _droppable(blocks, noise_db)
    blocks = blocks >> dropped[:, None]
    coefficients = _predictors(blocks.astype(np.float64))
    residual = blocks - _predicted(blocks.astype(np.float64), coefficients)
    values = np.where(residual >= 0, 2 * residual, -2 * residual - 1).reshape(-1, _PART)
    widths = _rice_widths(values)
    quotients, remainders = _rice_encode(values, widths)
    for array in (coefficients, dropped, widths, quotients, remainders):
        np.save(file, array)


def _read_chunk(file: BinaryIO) -> Ints:
    coefficients, dropped, widths, quotients, remainders = (_load(file) for _ in range(5))
    values = _rice_decode(quotients, remainders, widths)
    residual = np.where(values % 2 == 0, values // 2, -(values // 2) - 1)
    blocks = _unpredicted(residual.reshape(-1, BLOCK), coefficients)
    half = (1 << dropped.astype(np.int64)) >> 1  # the middle of the dropped bits' range
    return (blocks << dropped.astype(np.int64)[:, None]) + half[:, None]


def _droppable(blocks: Ints, noise_db: float | None) -> npt.NDArray[np.uint8]:
    """The number of low bits of each block that may be dropped: their noise is 4^bits / 12."""
    if noise_db is None:
        return np.zeros(len(blocks), np.uint8)
    noise = np.mean(blocks.astype(np.float64) ** 2, axis=1) * 10 ** (-noise_db / 10)
    bits = np.floor(np.log2(np.maximum(12 * noise, 1)) / 2)
    return np.clip(bits, 0, 12).astype(np.uint8)


def _predictors(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Coefficients `[n, ORDER]` from each block's autocorrelation (Wiener-Hopf)."""
    spectrum = np.fft.rfft(blocks * np.hanning(BLOCK), 2 * BLOCK)
    lags = np.fft.irfft(np.abs(spectrum) ** 2)[:, : ORDER + 1]
    lags[:, 0] = lags[:, 0] * (1 + 1e-6) + 1
    index = np.abs(np.arange(ORDER)[:, None] - np.arange(ORDER))
    solved = np.linalg.solve(lags[:, index], lags[:, 1:, None])[:, :, 0]
    return np.clip(np.rint(solved * _SCALE), -32768, 32767).astype(np.int16)


def _predicted(blocks: npt.NDArray[np.float64], coefficients: npt.NDArray[np.int16]) -> Ints:
    total = np.zeros_like(blocks)
    for i in range(ORDER):
        total[:, i + 1 :] += coefficients[:, i : i + 1] * blocks[:, : BLOCK - i - 1]
    return np.floor(total / _SCALE).astype(np.int64)


def _unpredicted(residual: Ints, coefficients: npt.NDArray[np.generic]) -> Ints:
    """Adds the prediction from the decoded past, sample by sample, all blocks at once."""
    past = np.zeros((ORDER + BLOCK, len(residual)))  # [time, block]
    weights = np.ascontiguousarray(coefficients[:, ::-1].T.astype(np.float64))
    left = np.ascontiguousarray(residual.T.astype(np.float64))
    for t in range(BLOCK):
        total = (weights * past[t : t + ORDER]).sum(axis=0)
        past[t + ORDER] = left[t] + np.floor(total / _SCALE)
    return past[ORDER:].T.astype(np.int64)


def _rice_widths(values: Ints) -> npt.NDArray[np.uint8]:
    """The cheapest number of low bits for each row of `values`."""
    costs = [(values >> k).sum(axis=1) + _PART * k for k in range(_WIDEST + 1)]
    return np.argmin(costs, axis=0).astype(np.uint8)


def _rice_encode(
    values: Ints, widths: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Quotients in unary (zeros, then a one), and remainders, sorted by their width."""
    ends = np.cumsum((values >> widths[:, None]).reshape(-1) + 1)
    unary = np.zeros(int(ends[-1]), np.uint8)
    unary[ends - 1] = 1
    remainders = []
    for width in range(1, _WIDEST + 1):
        low = values[widths == width].reshape(-1, 1)
        remainders.append(np.packbits((low >> np.arange(width)) & 1))
    return np.packbits(unary), np.concatenate(remainders, dtype=np.uint8)


def _rice_decode(
    quotients: npt.NDArray[np.generic],
    remainders: npt.NDArray[np.generic],
    widths: npt.NDArray[np.generic],
) -> Ints:
    ends = np.flatnonzero(np.unpackbits(quotients.astype(np.uint8)))
    high = np.diff(ends, prepend=-1) - 1
    values = high.reshape(-1, _PART) << widths.astype(np.int64)[:, None]
    start = 0
    for width in range(1, _WIDEST + 1):
        rows = widths == width
        count = int(rows.sum()) * _PART
        size = -(-count * width // 8)
        packed = remainders[start : start + size].astype(np.uint8)
        bits = np.unpackbits(packed)[: count * width].reshape(-1, width)
        values[rows] += (bits.astype(np.int64) << np.arange(width)).sum(axis=1).reshape(-1, _PART)
        start += size
    return values
