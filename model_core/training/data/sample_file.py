"""A `.npy` file of int16 `[C, N]` that grows: N is known only at the end.

The samples are interleaved (Fortran order), so appending writes at the end. The header, which numpy
pads for this purpose, is rewritten when the file is closed.
"""

import io
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ...errors import TrainingDataError


def _header(channels: int, length: int) -> bytes:
    file = io.BytesIO()
    description = {"descr": "<i2", "fortran_order": True, "shape": (channels, length)}
    np.lib.format.write_array_header_1_0(file, description)
    return file.getvalue()


class SampleFile:
    """Writes the file; a context manager. After an error, the file is not a readable array."""

    def __init__(self, path: Path, channels: int) -> None:
        self._channels = channels
        self._start = len(_header(channels, 0))
        self._file = path.open("wb")
        self._file.write(bytes(self._start))

    def append(self, part: Path) -> None:
        """Append a file of interleaved little-endian int16 samples."""
        with part.open("rb") as samples:
            shutil.copyfileobj(samples, self._file, 1 << 20)

    def _finish(self) -> None:
        length = (self._file.tell() - self._start) // (2 * self._channels)
        header = _header(self._channels, length)
        if len(header) != self._start:
            raise TrainingDataError(f"{length} samples do not fit the header of one array")
        self._file.seek(0)
        self._file.write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                self._finish()
