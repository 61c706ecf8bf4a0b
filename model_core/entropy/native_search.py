"""The search for codes in the native engine's library (`csrc/rate_search.h`)."""

import ctypes
from collections.abc import Sequence

import numpy as np

from ..engine.native.library import MESSAGE_SIZE, text_of
from ..errors import EncodecError
from .native_lm import Latents, NativeLM


class NativeSearch:
    """Codebooks in the library's memory, until this object goes."""

    _handle: int | None = None

    def __init__(self, lm: NativeLM, entries: np.ndarray):
        """`entries`: float32 `[K, bins, D]`. Raises `EncodecError` where there is no memory."""
        self._lm = lm
        self._functions = lm.functions
        entries = np.ascontiguousarray(entries, np.float32)
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        self._handle = self._functions.encodec_quantizer(
            entries.ctypes.data, *entries.shape, message, MESSAGE_SIZE
        )
        if not self._handle:
            raise EncodecError(f"the native engine refuses the codebooks: {text_of(message)}")

    def find(
        self,
        latents: Sequence[np.ndarray],
        books: int,
        beam: int,
        rate: float,
        together: int,
        threads: int,
    ) -> list[np.ndarray]:
        """Codes int64 `[books, T]` of chunks of latents `[D, T]`; see `CodeSearch`."""
        rows = [np.ascontiguousarray(latent.T, np.float32) for latent in latents]
        found = [np.empty((books, len(frames)), np.int64) for frames in rows]
        chunks = (Latents * len(rows))(
            *(
                Latents(frames.ctypes.data, codes.ctypes.data, books, len(frames))
                for frames, codes in zip(rows, found, strict=True)
            )
        )
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        if self._functions.encodec_search(
            self._lm.handle, self._handle, chunks, len(rows), beam, rate, together, threads,
            message, MESSAGE_SIZE,
        ):  # fmt: skip
            raise EncodecError(f"the native engine failed: {text_of(message)}")
        return found

    def __del__(self) -> None:
        if self._handle:
            self._functions.encodec_quantizer_free(self._handle)
