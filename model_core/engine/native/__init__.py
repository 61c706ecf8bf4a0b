"""The native backend: the networks in C++ (`csrc`), compiled when the package is installed.

Without a compiler there, the torch backend does the work; both compute what `nn` computes.
"""

from .engine import NativeEngine
from .library import NativeLibrary, find_library

__all__ = ["NativeEngine", "NativeLibrary", "find_library"]
