"""The reference of the Python packages: which names it has. mkdocstrings reads their docstrings."""

import ast
from dataclasses import dataclass

import model_core

from .tree import ROOT

SOURCES = (ROOT, ROOT / "clients" / "python" / "src")
"""Where the packages are; mkdocs.yml names the same folders."""


@dataclass(frozen=True)
class Package:
    """A package whose public names are a page."""

    name: str
    title: str
    about: str


PACKAGES = {
    "model-core": Package(
        "model_core",
        "The codec",
        "Public names of the package `model_core`. They have the names and arguments of the"
        " reference implementation.",
    ),
    "streams": Package(
        "model_core.codec",
        "Streams",
        "Samples to `.ecdc` bytes and back in bounded memory: what the service and the commands"
        " are built on. These names may change between versions.",
    ),
    "ecdc": Package(
        "model_core.ecdc.v1",
        "Files of version 1",
        "Reads and writes the [format](../../format.md) without networks. These names may change"
        " between versions.",
    ),
    "client": Package(
        "encodec_client",
        "The client",
        "The package [encodec-client](../../clients/python.md).",
    ),
}
_MORE = {"model-core": ("model_core.errors",), "client": ("encodec_client.live.LiveClient",)}


def page(name: str) -> str:
    """A page of directives, one for each public name of the package."""
    package = PACKAGES[name]
    lines = [f"# {package.title}: `{package.name}`", "", package.about, ""]
    for path in [*_public(package.name), *_MORE.get(name, ())]:
        lines += [f"::: {path}", ""]
    return "\n".join(lines)


def _public(name: str) -> list[str]:
    """Where the public names of a package are defined."""
    if name == "model_core":  # it loads its names when they are used
        homes = {"distrib": "", **model_core._HOMES}
        return [".".join(filter(None, (name, homes[each], each))) for each in model_core.__all__]
    (file,) = (
        file
        for source in SOURCES
        if (file := source.joinpath(*name.split("."), "__init__.py")).is_file()
    )
    for statement in ast.parse(file.read_text()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=names):
                return [f"{name}.{each}" for each in ast.literal_eval(names)]
    raise ValueError(f"{name} has no __all__")
