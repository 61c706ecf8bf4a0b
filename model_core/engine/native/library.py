"""The compiled functions of `csrc`, by way of ctypes."""

import ctypes
import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...errors import EncodecError
from ..protocol import Precision

logger = logging.getLogger(__name__)

BUILDS = ("avx512bf16", "avx512", "avx2", "generic")
"""Builds of the same source for different processors, best first. In float32, `avx512bf16` is what
`avx512` is; it alone can decode in bfloat16. On other processors than x86
`generic` is the only one, compiled for what the processor has (NEON, on 64-bit ARM)."""

# The levels of x86-64 that `setup.py` names, as Linux lists what is in them (abm: lzcnt).
_AVX2 = {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_NEEDS = {"avx2": _AVX2, "avx512": _AVX512, "avx512bf16": _AVX512 | {"avx512_bf16"}}

MESSAGE_SIZE = 256
_MOST_RATIOS = 8


class Spec(ctypes.Structure):
    """`EncodecSpec` of `csrc`: a model's description."""

    _fields_ = (
        ("causal", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("dimension", ctypes.c_int32),
        ("filters", ctypes.c_int32),
        ("lstm_layers", ctypes.c_int32),
        ("codebooks", ctypes.c_int32),
        ("bins", ctypes.c_int32),
        ("block_frames", ctypes.c_int32),
        ("ratio_count", ctypes.c_int32),
        ("ratios", ctypes.c_int32 * _MOST_RATIOS),
        ("decode_bfloat16", ctypes.c_int32),
    )

    def __init__(self, config: ModelConfig, precision: Precision = "float32"):
        super().__init__(
            causal=config.causal,
            channels=config.channels,
            dimension=config.dimension,
            filters=config.n_filters,
            lstm_layers=config.lstm,
            codebooks=config.num_codebooks,
            bins=config.bins,
            block_frames=config.frames(config.block_samples),
            ratio_count=len(config.ratios),
            ratios=(ctypes.c_int32 * _MOST_RATIOS)(*config.ratios),
            decode_bfloat16=precision == "bfloat16",
        )


class Piece(ctypes.Structure):
    """`EncodecJob` of `csrc`: blocks of a stream that follow one another. It holds its arrays."""

    _fields_ = (
        ("samples", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("scale", ctypes.c_float),
        ("books", ctypes.c_int32),
        ("beam", ctypes.c_int32),
        ("first", ctypes.c_int32),
        ("last", ctypes.c_int32),
        ("sample_count", ctypes.c_int64),
        ("frames", ctypes.c_int64),
        ("latent", ctypes.c_void_p),
    )

    def __init__(
        self,
        samples: np.ndarray,
        codes: np.ndarray,
        state: np.ndarray | None,
        first: bool,
        last: bool,
        scale: float = 1.0,
        beam: int = 1,
        latent: np.ndarray | None = None,
    ):
        """`samples` float32 `[C, n]`, `codes` int64 `[K, T]`, `state` float32, `latent` float32
        `[T, D]`, to be written in place of the codes; all contiguous."""
        super().__init__(
            samples=samples.ctypes.data,
            codes=codes.ctypes.data,
            state=None if state is None else state.ctypes.data,
            scale=scale,
            books=codes.shape[0],
            beam=beam,
            first=first,
            last=last,
            sample_count=samples.shape[1],
            frames=codes.shape[1],
            latent=None if latent is None else latent.ctypes.data,
        )
        self._arrays = (samples, codes, state, latent)


class NativeLibrary:
    """One build. Raises `OSError` for a file that is no library, or not the one it is called."""

    def __init__(self, build: str, path: Path):
        self.build = build
        self._functions = ctypes.CDLL(str(path))
        try:
            self._declare()
            made, layout = self._functions.encodec_build(), self._functions.encodec_layout()
        except AttributeError as error:  # a build of an older source
            raise OSError(str(error)) from error
        if made.decode() != build:
            raise OSError(f"it was compiled for {made.decode()}")
        if layout != ctypes.sizeof(Spec) << 32 | ctypes.sizeof(Piece):
            raise OSError("it was compiled from another version of the source")
        self.has_bfloat16 = bool(self._functions.encodec_bfloat16())
        """Whether models can decode in bfloat16."""

    def _declare(self) -> None:
        """Tell ctypes the functions of `csrc/api.cpp` and, for `entropy`, of `csrc/lm.cpp`."""
        number, size, pointer = ctypes.c_int32, ctypes.c_size_t, ctypes.c_void_p
        message = ctypes.c_char_p, size

        def function(name: str, result: Any, *arguments: Any) -> None:
            declared = getattr(self._functions, f"encodec_{name}")
            declared.restype, declared.argtypes = result, arguments

        function("build", ctypes.c_char_p)
        function("layout", ctypes.c_int64)
        function("bfloat16", number)
        function("peak", ctypes.c_double, number)
        function("root", ctypes.c_float, ctypes.c_float)
        function("model", pointer, ctypes.POINTER(Spec), pointer, size, *message)
        function("free", None, pointer)
        function("state_size", size, pointer, number)
        function("entries", None, pointer, pointer)
        function("run", number, pointer, number, ctypes.POINTER(Piece), number, number, *message)
        function("lm_layout", ctypes.c_int64)
        function("lm", pointer, *(pointer, size) * 3, *message)
        function("lm_free", None, pointer)
        function("lm_run", number, pointer, number, pointer, number, number, number, *message)
        function("quantizer", pointer, pointer, number, number, number, *message)
        function("quantizer_free", None, pointer)
        function(
            "search", number, pointer, pointer, pointer, number, number, ctypes.c_float, number,
            number, *message,
        )  # fmt: skip

    @property
    def functions(self) -> ctypes.CDLL:
        """For other users of the library: the exact language model."""
        return self._functions

    def peak(self, threads: int) -> float:
        """Float32 multiply-adds a second that so many threads do at best, measured now."""
        return float(self._functions.encodec_peak(threads))

    def root(self, x: float) -> float:
        """The float32 square root with torch's bits, which depend on the processor."""
        return float(self._functions.encodec_root(x))

    def model(self, spec: Spec, weights: np.ndarray) -> "NativeModel":
        """A model from all its weights, float32 `[n]`, in the order of `plan.weight_shapes`.

        Raises `EncodecError` for a number or a size of weights that no such model has.
        """
        return NativeModel(self._functions, spec, weights)


class NativeModel:
    """A model in the library's memory, until this object goes (see `NativeLibrary.model`)."""

    _handle: int | None = None

    def __init__(self, functions: ctypes.CDLL, spec: Spec, weights: np.ndarray):
        if not np.isfinite(weights).all():
            raise EncodecError("the model's weights are not all finite numbers")
        self._functions = functions
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        self._handle = functions.encodec_model(
            spec, weights.ctypes.data, weights.size, message, MESSAGE_SIZE
        )
        if not self._handle:
            raise EncodecError(f"the native engine refuses the model: {text_of(message)}")
        self.encoder_state: int = functions.encodec_state_size(self._handle, True)
        """Floats that a causal stream carries while it is encoded; 0 for the other model."""
        self.decoder_state: int = functions.encodec_state_size(self._handle, False)

    def copy_entries(self, to: np.ndarray) -> None:
        """Those of the codebooks to `to`, float32 `[K, bins, D]`, contiguous."""
        self._functions.encodec_entries(self._handle, to.ctypes.data)

    def encode(self, pieces: Sequence[Piece], threads: int) -> None:
        """Pieces of different streams; what they share of a result is nothing."""
        self._run(True, pieces, threads)

    def decode(self, pieces: Sequence[Piece], threads: int) -> None:
        self._run(False, pieces, threads)

    def _run(self, encoder: bool, pieces: Sequence[Piece], threads: int) -> None:
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        array = (Piece * len(pieces))(*pieces)
        if self._functions.encodec_run(
            self._handle, encoder, array, len(pieces), threads, message, MESSAGE_SIZE
        ):
            raise EncodecError(f"the native engine failed: {text_of(message)}")

    def __del__(self) -> None:
        if self._handle:
            self._functions.encodec_free(self._handle)


def text_of(message: ctypes.Array[ctypes.c_char]) -> str:
    """The reason that a function of the library has written."""
    return message.value.decode(errors="replace")


def _runs_here(build: str) -> bool:
    """Whether the processor has what `build` was compiled for. `ATEN_CPU_CAPABILITY` (`avx2`,
    `default`) makes less of it, as it does for torch."""
    needed = _NEEDS.get(build, set())
    limit = os.environ.get("ATEN_CPU_CAPABILITY", "").lower()
    if (needed and limit == "default") or (needed > _AVX2 and limit == "avx2"):
        return False
    return needed <= _processor_flags()


@cache
def _processor_flags() -> frozenset[str]:
    """What the processor and the system support, in Linux's words; nothing is known elsewhere."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(flags.partition(":")[2].split())


@cache
def find_library(build: str | None = None) -> NativeLibrary | None:
    """A build, or the best one that was compiled and that this processor runs; None if none is.

    One that does not load is passed over with a warning; the one that was asked for raises
    `EncodecError`.
    """
    for candidate in BUILDS if build is None else (build,):
        for suffix in EXTENSION_SUFFIXES:
            path = Path(__file__).with_name(f"_{candidate}{suffix}")
            if not path.exists() or not _runs_here(candidate):
                continue
            try:
                return NativeLibrary(candidate, path)
            except OSError as error:
                said = f"the native build {candidate} cannot be used: {error}"
                if build is not None:
                    raise EncodecError(said) from error
                logger.warning("%s; install the package again", said)
    return None
