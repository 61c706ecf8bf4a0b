"""The compiled functions of `csrc`, by way of ctypes."""

import ctypes
import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

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

_MESSAGE_SIZE = 256
_MOST_RATIOS = 8


class Spec(ctypes.Structure):
    """`EncodecSpec` of `csrc/interface.h`."""

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

    @classmethod
    def of(cls, config: ModelConfig, block_frames: int, precision: Precision = "float32") -> "Spec":
        ratios = (ctypes.c_int32 * _MOST_RATIOS)(*config.ratios)
        return cls(
            config.causal,
            config.channels,
            config.dimension,
            config.n_filters,
            config.lstm,
            config.num_codebooks,
            config.bins,
            block_frames,
            len(config.ratios),
            ratios,
            precision == "bfloat16",
        )


class Job(ctypes.Structure):
    """`EncodecJob` of `csrc/interface.h`, which holds on to its arrays."""

    _fields_ = (
        ("samples", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("scale", ctypes.c_float),
        ("books", ctypes.c_int32),
        ("first", ctypes.c_int32),
        ("last", ctypes.c_int32),
        ("sample_count", ctypes.c_int64),
        ("frames", ctypes.c_int64),
    )
    arrays: tuple[np.ndarray | None, ...] = ()

    @classmethod
    def of(
        cls,
        samples: np.ndarray,
        codes: np.ndarray,
        state: np.ndarray | None,
        first: bool,
        last: bool,
        scale: float = 1.0,
    ) -> "Job":
        """`samples` float32 `[C, n]`, `codes` int64 `[K, T]`, `state` float32; all contiguous."""
        job = cls(
            samples.ctypes.data,
            codes.ctypes.data,
            None if state is None else state.ctypes.data,
            scale,
            codes.shape[0],
            first,
            last,
            samples.shape[1],
            codes.shape[1],
        )
        job.arrays = (samples, codes, state)
        return job


class NativeLibrary:
    """One build. Raises `OSError` for a file that is no library, or not the one it is called."""

    def __init__(self, build: str, path: Path):
        self.build = build
        functions = ctypes.CDLL(str(path))
        _require_made_for(build, functions)
        functions.encodec_bfloat16.restype = ctypes.c_int32
        self.has_bfloat16 = bool(functions.encodec_bfloat16())
        """Whether models can decode in bfloat16."""
        self._peak = functions.encodec_peak
        self._peak.restype = ctypes.c_double
        self._peak.argtypes = (ctypes.c_int32,)
        self._root = functions.encodec_root
        self._root.restype = ctypes.c_float
        self._root.argtypes = (ctypes.c_float,)
        self._model = functions.encodec_model
        self._model.restype = ctypes.c_void_p
        self._model.argtypes = (
            ctypes.POINTER(Spec),
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.c_size_t,
        )
        self._free = functions.encodec_free
        self._free.restype = None
        self._free.argtypes = (ctypes.c_void_p,)
        self._state_size = functions.encodec_state_size
        self._state_size.restype = ctypes.c_size_t
        self._state_size.argtypes = (ctypes.c_void_p, ctypes.c_int32)
        self._run = functions.encodec_run
        self._run.restype = ctypes.c_int32
        self._run.argtypes = (
            ctypes.c_void_p,
            ctypes.c_int32,
            ctypes.POINTER(Job),
            ctypes.c_int32,
            ctypes.c_int32,
            ctypes.c_char_p,
            ctypes.c_size_t,
        )

    def model(self, spec: Spec, weights: np.ndarray) -> "NativeModel":
        """A model from all its weights, float32 `[n]`, as `weights.flat_weights` orders them.

        Raises `EncodecError` for a number or a size of weights that no such model has.
        """
        if not np.isfinite(weights).all():
            raise EncodecError("the model's weights are not all finite numbers")
        message = ctypes.create_string_buffer(_MESSAGE_SIZE)
        handle = self._model(
            spec, weights.ctypes.data, weights.size, message, ctypes.sizeof(message)
        )
        if not handle:
            raise EncodecError(f"the native engine refuses the model: {_text(message)}")
        return NativeModel(self, handle)

    def peak(self, threads: int) -> float:
        """Float32 multiply-adds a second that so many threads do at best, measured now."""
        rate: float = self._peak(threads)
        return rate

    def root(self, x: float) -> float:
        """The float32 square root with torch's bits, which depend on the processor."""
        root: float = self._root(x)
        return root

    def free(self, handle: int) -> None:
        self._free(handle)

    def state_size(self, handle: int, encoder: bool) -> int:
        size: int = self._state_size(handle, encoder)
        return size

    def run(self, handle: int, encoder: bool, jobs: Sequence[Job], threads: int) -> None:
        message = ctypes.create_string_buffer(_MESSAGE_SIZE)
        array = (Job * len(jobs))(*jobs)
        if self._run(handle, encoder, array, len(jobs), threads, message, ctypes.sizeof(message)):
            raise EncodecError(f"the native engine failed: {_text(message)}")


class NativeModel:
    """A model in the library's memory, until this object goes."""

    def __init__(self, library: NativeLibrary, handle: int):
        self._library = library
        self._handle = handle
        self.encoder_state = library.state_size(handle, encoder=True)
        """Floats that a causal stream carries while it is encoded; 0 for the other model."""
        self.decoder_state = library.state_size(handle, encoder=False)

    def encode(self, jobs: Sequence[Job], threads: int) -> None:
        """Jobs of different streams; what they share of a result is nothing."""
        self._library.run(self._handle, True, jobs, threads)

    def decode(self, jobs: Sequence[Job], threads: int) -> None:
        self._library.run(self._handle, False, jobs, threads)

    def __del__(self) -> None:
        self._library.free(self._handle)


def _text(message: ctypes.Array[ctypes.c_char]) -> str:
    return message.value.decode(errors="replace")


def _require_made_for(build: str, functions: ctypes.CDLL) -> None:
    """Raises `OSError` for a library of another build, or of another version of its source."""
    try:
        functions.encodec_build.restype = ctypes.c_char_p
        functions.encodec_layout.restype = ctypes.c_int64
        _ = functions.encodec_root  # which builds of an older source lack
        made, layout = functions.encodec_build().decode(), functions.encodec_layout()
    except AttributeError as error:
        raise OSError(str(error)) from error
    if made != build:
        raise OSError(f"it was compiled for {made}")
    if layout != ctypes.sizeof(Spec) << 32 | ctypes.sizeof(Job):
        raise OSError("it was compiled from another version of the source")


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
