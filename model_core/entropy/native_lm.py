"""The exact language model in the native engine's library (`csrc/language_model.h`)."""

import ctypes
from collections.abc import Sequence

import numpy as np

from ..engine.native.library import MESSAGE_SIZE, NativeLibrary, text_of
from ..errors import EncodecError
from .fixed import MOST_FRAMES, activation_limit, root_of_width
from .integer_lm import IntegerLM, Norm, Product
from .tables import gelu_table, positions, powers


class _Chunk(ctypes.Structure):
    """`EncodecChunk` of `csrc`."""

    _fields_ = (
        ("codes", ctypes.c_void_p),
        ("bytes", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("room", ctypes.c_int64),
        ("books", ctypes.c_int32),
        ("frames", ctypes.c_int32),
        ("damaged", ctypes.c_int32),
    )


class Latents(ctypes.Structure):
    """`EncodecLatents` of `csrc`, for the search for codes."""

    _fields_ = (
        ("latents", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("books", ctypes.c_int32),
        ("frames", ctypes.c_int32),
    )


class NativeLM:
    """A language model in the library's memory, until this object goes."""

    handle: int | None = None

    def __init__(self, library: NativeLibrary, lm: IntegerLM):
        """Raises `EncodecError` for a library from another version of the source."""
        self.functions = functions = library.functions
        if functions.encodec_lm_layout() != ctypes.sizeof(_Chunk) << 32 | ctypes.sizeof(Latents):
            raise EncodecError("the native engine was compiled from another version of the source")
        numbers, weights, tables = flat_arrays(lm)
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        self.handle = functions.encodec_lm(
            *(x for array in (numbers, weights, tables) for x in (array.ctypes.data, array.size)),
            message,
            MESSAGE_SIZE,
        )
        if not self.handle:
            raise EncodecError(f"the native engine refuses the language model: {text_of(message)}")

    def encode(self, chunks: Sequence[np.ndarray], threads: int) -> list[bytes]:
        """The bytes of chunks of codes, int64 `[K, T]` each, K the same."""
        arrays = [np.ascontiguousarray(codes, np.int64) for codes in chunks]
        buffers = [np.empty(4 * codes.size + 16, np.uint8) for codes in arrays]
        made = [
            _chunk(codes, buffer, buffer.size)
            for codes, buffer in zip(arrays, buffers, strict=True)
        ]
        made = self._run(True, made, 1, threads)
        sizes = [chunk.size for chunk in made]
        return [buffer[:size].tobytes() for buffer, size in zip(buffers, sizes, strict=True)]

    def decode(
        self, chunks: Sequence[tuple[bytes, int]], books: int, together: int, threads: int
    ) -> list[np.ndarray | None]:
        """The codes of chunks of bytes, of so many frames each; None for damaged ones."""
        arrays = [np.empty((books, frames), np.int64) for _, frames in chunks]
        buffers = [np.frombuffer(data or b"\0", np.uint8) for data, _ in chunks]
        made = [
            _chunk(codes, buffer, len(data))
            for codes, buffer, (data, _) in zip(arrays, buffers, chunks, strict=True)
        ]
        made = self._run(False, made, together, threads)
        return [None if chunk.damaged else codes for chunk, codes in zip(made, arrays, strict=True)]

    def _run(self, encode: bool, chunks: list[_Chunk], together: int, threads: int) -> list[_Chunk]:
        array = (_Chunk * len(chunks))(*chunks)
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        if self.functions.encodec_lm_run(
            self.handle, encode, array, len(chunks), together, threads, message, MESSAGE_SIZE
        ):
            raise EncodecError(f"the native engine failed: {text_of(message)}")
        return list(array)

    def __del__(self) -> None:
        if self.handle:
            self.functions.encodec_lm_free(self.handle)


def _chunk(codes: np.ndarray, buffer: np.ndarray, size: int) -> _Chunk:
    return _Chunk(
        codes=codes.ctypes.data,
        bytes=buffer.ctypes.data,
        size=size,
        room=buffer.size,
        books=codes.shape[0],
        frames=codes.shape[1],
    )


def flat_arrays(lm: IntegerLM) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All numbers, int64; all weights, int8; all tables, int32: in the order in which `csrc` takes
    them."""
    config, depth = lm.config, lm.depth
    numbers: list[np.ndarray | int] = [
        config.dim, config.num_codebooks, config.bins, config.past_context, MOST_FRAMES,
        config.num_layers, depth is not None, activation_limit(config.dim),
        root_of_width(config.dim), lm.input_shift, powers(), len(gelu_table()), gelu_table(),
    ]  # fmt: skip
    weights: list[np.ndarray] = []

    def norm(norm: Norm) -> None:
        numbers.extend([norm.epsilon, norm.gain, norm.offset])

    def product(product: Product) -> None:
        outs, ins = product.weights.shape
        numbers.extend([ins, outs, product.shift, product.limit])
        numbers.extend([product.multiplier, product.offset])
        weights.append(product.weights.ravel())

    norm(lm.norm_in)
    for layer in lm.layers:
        product(layer.query)
        product(layer.key)
        product(layer.value)
        numbers.extend([layer.first_key, layer.first_value])
        numbers.extend([layer.score_multiplier, layer.score_shift])
        product(layer.out)
        norm(layer.norm1)
        product(layer.hidden)
        numbers.append(layer.hidden_bits)
        product(layer.back)
        norm(layer.norm2)
    if depth is not None:
        product(depth.hidden)
        numbers.append(depth.epsilon)
        product(depth.back)
    for head in lm.heads:
        product(head)
    tables = [lm.embedding.ravel()]
    tables.append(positions(config.dim, MOST_FRAMES, lm.position_bits).ravel())
    if depth is not None:
        tables.append(depth.embedding.ravel())
    flat = np.concatenate([np.atleast_1d(np.asarray(x, np.int64)) for x in numbers])
    return flat, np.concatenate(weights), np.concatenate(tables).astype(np.int32)
