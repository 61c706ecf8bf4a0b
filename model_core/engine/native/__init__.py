"""The native backend: the networks in C++ (`csrc`), compiled when the package is installed.

Without a compiler there, the torch backend does the work; both compute what `nn` computes.
"""

from .engine import NativeEngine
from .library import NativeLibrary, find_library

__all__ = ["NativeEngine", "NativeLibrary", "find_library", "peak_macs"]


def peak_macs(threads: int, build: str | None = None) -> float:
    """Float32 multiply-adds a second of `threads` threads at best, of `build` or the best build
    that runs here; 0 without a library."""
    library = find_library(build)
    return 0.0 if library is None else library.peak(threads)
