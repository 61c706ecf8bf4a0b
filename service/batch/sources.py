"""Which recordings there are: a file, a folder, a glob, a manifest, tar shards; by fsspec.

A URL (`s3://bucket/folder`) works as a path does. Nothing is read but listings, manifests and the
headers in tar files.
"""

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from model_core.cli.suffixes import AUDIO, ECDC
from model_core.errors import EncodecError

from .manifest import MANIFESTS, Row, read_manifest
from .store import filesystem, full_url, is_local

TAR = ".tar"
_WILD = "*?["


class SourceError(EncodecError):
    """SRC cannot be listed or has nothing in it."""


@dataclass(frozen=True)
class Item:
    """One recording, or one `.ecdc` file."""

    path: str
    """What the report and tables call it: as SRC and the manifest name it."""
    url: str
    """Where a worker finds it."""
    name: str
    """Relative to the source, with `/`: the output mirrors it."""
    size: int | None
    """Bytes, if the listing says so."""
    split: str | None = None
    offset: int | None = None
    """Of the first byte in the tar file `url`; None for a file of its own."""

    @property
    def compressed(self) -> bool:
        """Whether it is to be decompressed: by its name."""
        return _suffix(self.name) == ECDC

    @property
    def base(self) -> str:
        """The file's own name, without folders."""
        return PurePosixPath(self.name).name


def find_items(
    source: str,
    path_column: str | None = None,
    split_column: str | None = None,
    destination: str | None = None,
    overwrite: bool = False,
) -> list[Item]:
    """The recordings that `source` stands for, in a fixed order.

    A folder stands for the audio in it and its subfolders or, if there is none, the `.ecdc` files
    or else the tar files there; hidden ones are left out. `path_column` and `split_column`: of a
    manifest, see `read_manifest`. `destination`: the URL of a folder; where it lies in that folder,
    it is none of it. Where it is that folder, what lies there may have been made of the rest:
    `SourceError` where it cannot be told of which. Raises it too for what cannot be listed, and
    `OSError` and what a remote file system raises.
    """
    url = full_url(source)
    fs, place = filesystem(url)
    if any(c in place for c in _WILD) and not fs.exists(place):
        found = fs.glob(place, detail=True)
        items = list(_files(fs, found.values(), _fixed_part(place)))
        chosen = [item for item in items if not _hidden(item.name)]
    elif fs.isdir(place):
        found = fs.find(place, detail=True)
        files = list(_files(fs, found.values(), place))
        folder = url.rstrip("/")
        if destination is not None and destination.startswith(f"{folder}/"):
            files = [file for file in files if not file.url.startswith(f"{destination}/")]
        chosen = _of_folder(files)
        if destination == folder and chosen and _suffix(chosen[0].name) in AUDIO:
            _check_in_place(source, chosen, files, overwrite)
    elif not fs.exists(place):
        raise SourceError(f"{source}: there is no such file or folder")
    elif _suffix(place) in MANIFESTS:
        rows = read_manifest(fs, place, path_column, split_column)
        chosen = list(_sized([_row_item(row, url) for row in rows]))
    else:
        base = PurePosixPath(place).name
        chosen = [Item(source, url, base, fs.info(place).get("size"))]
    items = list(_opened(chosen))
    if not items:
        raise SourceError(f"{source} holds no audio, no {ECDC} and no {TAR} files")
    return items


def _files(fs: Any, infos: Iterable[dict[str, Any]], folder: str) -> Iterator[Item]:
    """Those of a listing, sorted, named relative to `folder`."""
    root = folder.rstrip("/")
    for info in sorted(infos, key=lambda info: str(info["name"])):
        if info.get("type") == "directory":
            continue
        name = str(info["name"])
        url = fs.unstrip_protocol(name) if not is_local(fs) else name
        relative = name.removeprefix(root).lstrip("/")
        yield Item(url, url, relative, info.get("size"))


def _of_folder(files: Iterable[Item]) -> list[Item]:
    shown = [item for item in files if not _hidden(item.name)]
    for wanted in (AUDIO, {ECDC}, {TAR}):
        chosen = [item for item in shown if _suffix(item.name) in wanted]
        if chosen:
            return chosen
    return []


def _check_in_place(
    folder: str, audio: Sequence[Item], files: Sequence[Item], overwrite: bool
) -> None:
    """Raises `SourceError` where the audio of a folder may be what its `.ecdc` files became."""
    stems = {PurePosixPath(item.name).with_suffix("") for item in audio}
    files = [file for file in files if file.compressed and not _hidden(file.name)]
    alone = [file for file in files if PurePosixPath(file.name).with_suffix("") not in stems]
    if unclear := files if overwrite else alone:
        text = f"{folder} holds audio and {ECDC} files ({unclear[0].name}), and is DST too"
        raise SourceError(f"{text}: say which are meant, as '{folder}/**/*{ECDC}'")


def _row_item(row: Row, manifest: str) -> Item:
    """A path of a manifest is relative to the manifest's folder, unless it is absolute or a URL."""
    given = row.path
    if "://" in given or given.startswith("/"):
        url = full_url(given)
        name = given.split("://", 1)[-1]
    else:
        url = f"{manifest.rpartition('/')[0]}/{given}"
        name = given
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return Item(given, url, "/".join(parts), None, row.split)


def _sized(items: Sequence[Item]) -> Iterator[Item]:
    """The same with their sizes: for buckets one listing for each of their folders."""
    listed: dict[str, dict[str, int | None]] = {}
    for item in items:
        fs, place = filesystem(item.url)
        size = None
        with suppress(OSError):
            if is_local(fs):
                size = Path(place).stat().st_size
            elif not item.url.startswith("http"):  # it cannot be listed
                folder = item.url.rpartition("/")[0]
                if folder not in listed:
                    listed[folder] = {}
                    found = fs.ls(place.rpartition("/")[0], detail=True)
                    listed[folder] = {str(info["name"]): info.get("size") for info in found}
                size = listed[folder].get(place)
        yield replace(item, size=size)


def _opened(items: list[Item]) -> Iterator[Item]:
    """The same with what is in tar files in place of these."""
    tars = sum(_suffix(item.name) == TAR for item in items)
    for item in items:
        if _suffix(item.name) != TAR:
            yield item
            continue
        folder = "" if tars == 1 else item.name.removesuffix(TAR) + "/"
        fs, place = filesystem(item.url)
        try:
            with fs.open(place, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    base = PurePosixPath(member.name)
                    if member.isfile() and base.suffix.lower() in {*AUDIO, ECDC}:
                        parts = [part for part in base.parts if part not in ("/", "..")]
                        yield replace(
                            item,
                            path=f"{item.path}/{member.name}",
                            name=folder + "/".join(parts),
                            size=member.size,
                            offset=member.offset_data,
                        )
        except tarfile.TarError as error:
            raise SourceError(f"{item.path}: {error}") from error


def _fixed_part(pattern: str) -> str:
    """The folder before the first wildcard."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if any(c in part for c in _WILD))
    return "/".join(parts[:first])


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
