"""Compiles the native engine where there is a C++ compiler; without one the package does without.

Everything else about the package stands in pyproject.toml.
"""

import copy
import os
import platform

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = "model_core/engine/native/csrc"
HEADERS = [entry.path for entry in os.scandir(SOURCES) if entry.name.endswith(".h")]

# The builds of `model_core.engine.native.library`; the processor chooses at run time.
BUILDS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    BUILDS = {
        "avx512bf16": ["-march=x86-64-v4", "-mavx512bf16"],
        "avx512": ["-march=x86-64-v4"],
        "avx2": ["-march=x86-64-v3"],
        "generic": ["-march=x86-64"],
    }

# Nothing of the compiler's own libraries is asked of the machine that runs it.
STATIC = ["-static-libstdc++", "-static-libgcc"] if platform.system() == "Linux" else []
FLAGS = ["-std=c++20", "-O3", "-g0", "-ffp-contract=fast", "-fvisibility=hidden", "-pthread"]


class BuildExtensions(build_ext):
    """Several compilers at a time; one that fails fails alone."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extension(self, ext: Extension) -> None:
        """In a folder of its own: all are made from one source, so their objects have one name."""
        own = copy.copy(self)
        own.build_temp = f"{self.build_temp}/{ext.name}"
        super(BuildExtensions, own).build_extension(ext)


setup(
    cmdclass={"build_ext": BuildExtensions},
    ext_modules=[
        Extension(
            f"model_core.engine.native._{build}",
            [f"{SOURCES}/api.cpp", f"{SOURCES}/lm.cpp"],
            depends=HEADERS,
            extra_compile_args=[*FLAGS, *flags],
            extra_link_args=["-pthread", *STATIC],
            language="c++",
            optional=True,
        )
        for build, flags in BUILDS.items()
    ],
)
