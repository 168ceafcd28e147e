"""The registry of data sets: what a public file is, where it may lie, and whether it is the right one.

The core's own sets stand in ``catalog.yml`` beside this file; a paper may add ``data-sets.yml`` beside its
``model-index.yml``. Files are found below an explicit data root, ``$MMREPRO_DATA_ROOT`` and ``./data``, in the official
layout or one that the catalog accepts, gzipped or not. A file counts only when the sha256 of its content is right; or,
for a few that no command can fetch and whose sha256 nobody has published, when its rows and variates, or a folder's
pictures, are as many as published: "unverified".
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmrepro import papers

if TYPE_CHECKING:
    from rich.console import Console

ENVIRONMENT_VARIABLE = "MMREPRO_DATA_ROOT"
PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_CHUNK = 1 << 20
State = Literal["ok", "unverified", "wrong", "missing"]


class DataNotFoundError(FileNotFoundError):
    """A file of a data set lies in none of the places that were searched."""


class DataCorruptError(ValueError):
    """A file of a data set was found, but its content is not the published one."""


class DownloadError(RuntimeError):
    """A file could not be downloaded, or what came is not the published file; nothing of it was kept."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, or one folder of pictures: its official path, and the content it must have (unpacked).

    Where ``sha256`` is not known, ``rows`` and ``variates`` are. A folder has ``pictures``: how many it and its
    sub-folders hold, or 0 where that is not published either and any number counts. With ``part`` fewer count too. With
    an ``ending``, files whose names end so are meant instead, whether they are pictures or not.
    """

    path: str
    bytes: int | None = None
    sha256: str | None = None
    url: str | None = None
    accepts: tuple[tuple[str, str], ...] = ()  # (sha256, what differs)
    rows: int | None = None
    variates: int | None = None
    pictures: int | None = None
    part: bool = False
    ending: str = ""

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def digests(self) -> tuple[str, ...]:
        """Every sha256 that counts as this file, the published one first."""
        return (self.sha256, *(digest for digest, _ in self.accepts))


@dataclass(frozen=True)
class DataSet:
    """A data set, or other files that a run needs, as its catalog declares it.

    ``what`` says in a few words what the files are where they are no data set, such as "the encoder's weights".
    """

    name: str
    title: str
    files: tuple[DataFile, ...]
    folders: tuple[str, ...]
    licence: str
    homepage: str
    citation: str
    instructions: str = ""
    what: str = ""

    def key(self, file: DataFile) -> str:
        """Return what one of the files is called among them: its name, or its whole path where another has that too."""
        return file.path if sum(other.name == file.name for other in self.files) > 1 else file.name


@dataclass(frozen=True)
class FileStatus:
    """What was found of one file; ``path`` holds it unless ``state`` is "missing", and is the culprit when "wrong".

    "unverified" means: as many rows and variates, or pictures, as published of what has no known checksum.
    """

    file: DataFile
    state: State
    path: Path | None
    detail: str


@dataclass(frozen=True)
class DataStatus:
    """What was found of a data set; ``state`` is the worst of its files' states."""

    data: DataSet
    files: tuple[FileStatus, ...]

    @property
    def state(self) -> State:
        """The worst of the files' states: "wrong", "missing", "unverified", "ok"."""
        states = [file.state for file in self.files]
        return next(state for state in ("wrong", "missing", "unverified", "ok") if state in states)

    @property
    def by_hand(self) -> bool:
        """Whether a file is missing that no command can fetch."""
        return any(file.state == "missing" and file.file.url is None for file in self.files)


def names() -> list[str]:
    """Return the names of all data sets, the core's and the installed papers', sorted."""
    return sorted(_catalog())


def get(name: str) -> DataSet:
    """Return one data set's declaration; upper and lower case are the same.

    Raises:
        LookupError: no catalog has it; the known names are listed.
    """
    try:
        return _catalog()[name.lower()]
    except KeyError:
        raise LookupError(f"no data set is named {name!r}; known: {', '.join(names())}") from None


def data_roots(data_root: str | Path | None = None) -> list[Path]:
    """Return the folders that are searched, in order: ``data_root``, ``$MMREPRO_DATA_ROOT``, ``./data``."""
    roots = [data_root, os.environ.get(ENVIRONMENT_VARIABLE), "data"]
    return list(dict.fromkeys(Path(root).expanduser() for root in roots if root))


def status(name: str, data_root: str | Path | None = None) -> DataStatus:
    """Look for the files of a data set and verify what is there; nothing is downloaded or raised for a missing file."""
    data = get(name)
    return DataStatus(data, tuple(_file_status(data, file, data_root) for file in data.files))


def locate(name: str, data_root: str | Path | None = None) -> dict[str, Path]:
    """Return the path of each file of a data set by its :meth:`DataSet.key`; a path may end in ``.gz``.

    Raises:
        DataNotFoundError: a file is in none of the places; they are listed, with the command that downloads it.
        DataCorruptError: a file is there, but its content is not the published one.
        LookupError: no data set has this name.
    """
    found, data = {}, get(name)
    for item in status(name, data_root).files:
        how = _how_to_get(data, item.file)
        if item.state == "wrong":
            first = "remove it, then:" if item.file.pictures is None else "complete or replace it:"
            raise DataCorruptError(f"{item.detail} Fix: {first} {how}")
        if item.state == "missing":
            raise DataNotFoundError(f"{item.detail} Fix: {how}")
        found[data.key(item.file)] = item.path
    return found


def download(name: str, data_root: str | Path | None = None, console: Console | None = None) -> dict[str, Path]:
    """Fetch the files of a data set that are not there, and return where each lies, as ``locate`` does.

    A correct file is never fetched again. A wrong one in the official place is kept under the name ``<file>.wrong``; a
    new one takes its place only when its sha256 is right. Files go below the first of ``data_roots``. The source, the
    licence and the progress are shown on ``console``.

    Raises:
        DownloadError: the server does not answer, or sends something else than the published file.
        DataNotFoundError: a missing file has no address to fetch it from; the text says how to get it by hand.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    data = get(name)
    for item in status(name, data_root).files:
        if item.state in ("ok", "unverified"):
            there = item.detail if item.state == "unverified" else f"already there, {item.path}"
            console.print(f"{item.file.name}: {there}", soft_wrap=True, highlight=False)
            continue
        if item.file.url is None:
            raise DataNotFoundError(f"{item.detail} Fix: {_how_to_get(data, item.file)}")
        target = data_roots(data_root)[0] / item.file.path
        console.print(
            f"{data.title}\n  from {item.file.url}\n"
            f"  licence: {data.licence} ({data.homepage})\n  cite: {data.citation}",
            soft_wrap=True,
            highlight=False,
        )
        _fetch(item.file, target, console)
    return locate(name, data_root)


def candidates(data: DataSet, file: DataFile, root: Path) -> Iterator[Path]:
    """Yield every place below ``root`` where ``file`` is accepted, the official one first."""
    official = root / file.path
    for place in dict.fromkeys([official, *(root / folder / file.name for folder in data.folders)]):
        yield place
        yield place.with_name(f"{place.name}.gz")


def digest(path: Path) -> str:
    """Return the sha256 of a file's content, unpacked where the name ends in ``.gz``; remembered until it changes.

    Raises:
        DataCorruptError: the file is not the gzip file that its name says, or ends too early.
    """
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _modified: int) -> str:
    content = hashlib.sha256()
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                content.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise DataCorruptError(f"{path} cannot be unpacked ({fault}).") from fault
    return content.hexdigest()


def _file_status(data: DataSet, file: DataFile, data_root: str | Path | None) -> FileStatus:
    wrong: FileStatus | None = None
    roots = data_roots(data_root)
    for path in (path for root in roots for path in candidates(data, file, root)):
        if not (path.is_file() if file.pictures is None else path.is_dir()):
            continue
        found = _examine(data, file, path)
        if found.state != "wrong":
            return found
        wrong = wrong or found
    searched = ", ".join(str(root / file.path) for root in roots)
    folders = f" (and in {', '.join(data.folders)})" if data.folders else ""
    also = " (and the same gzipped or in a flat folder)" if file.pictures is None else folders
    missing = f"{file.name} of {data.name} was not found; searched {searched}{also}."
    return wrong or FileStatus(file, "missing", None, missing)


def _examine(data: DataSet, file: DataFile, path: Path) -> FileStatus:
    """Compare the content of a file that is there with what is published of it."""
    try:
        if file.pictures is not None:
            return _examine_folder(data, file, path)
        if file.sha256 is None:
            return _examine_size(data, file, path)
        found = digest(path)
    except DataCorruptError as fault:
        return FileStatus(file, "wrong", path, str(fault))
    if found in file.digests:
        return FileStatus(file, "ok", path, dict(file.accepts).get(found, ""))
    detail = (
        f"{path} is not the published {file.name} of {data.name}: "
        f"sha256 {found} ({path.stat().st_size} bytes), expected {file.sha256} ({file.bytes} bytes unpacked)."
    )
    return FileStatus(file, "wrong", path, detail)


def _examine_folder(data: DataSet, file: DataFile, path: Path) -> FileStatus:
    # os.walk: rglob builds a Path of every name, and ImageNet has 1.3 million
    names = (name for _, _, names in os.walk(path) for name in names)
    ending = file.ending or PICTURE_SUFFIXES
    count = sum((name if file.ending else name.lower()).endswith(ending) for name in names)
    kind = f"files whose names end in {file.ending}" if file.ending else "pictures"
    if count and (count == (file.pictures or count) or (file.part and count < file.pictures)):
        of = f" of {file.pictures:,}" if file.part and count < file.pictures else ""
        published = ", as published" if file.pictures and not of else ""
        detail = f"{path} holds {count:,}{of} {kind}{published}; no checksum is known, so they are unverified"
        return FileStatus(file, "unverified", path, detail)
    expected = f"{file.pictures:,}" if file.pictures else "at least one"
    detail = f"{path} is not the published {file.name} of {data.name}: it holds {count:,} {kind}, expected {expected}."
    return FileStatus(file, "wrong", path, detail)


def _examine_size(data: DataSet, file: DataFile, path: Path) -> FileStatus:
    facts = path.stat()
    rows, variates = _size(path, facts.st_size, facts.st_mtime_ns)
    here = f"{rows:,} rows and {variates:,} variates"
    if (rows, variates) == (file.rows, file.variates):
        detail = f"{path} has {here}, as published; no checksum is known, so the values are unverified"
        return FileStatus(file, "unverified", path, detail)
    detail = (
        f"{path} is not the published {file.name} of {data.name}: it has {here}, "
        f"expected {file.rows:,} rows and {file.variates:,} variates."
    )
    return FileStatus(file, "wrong", path, detail)


@lru_cache(maxsize=64)
def _size(path: Path, _size: int, _modified: int) -> tuple[int, int]:
    from mmrepro.datasets.table_size import table_size  # numpy, which listing the sets does without

    try:
        return table_size(path)
    except ValueError as fault:
        raise DataCorruptError(f"{path} cannot be read ({fault}).") from fault


def _fetch(file: DataFile, target: Path, console: Console) -> None:
    """Download to a temporary name in the target's folder, verify, and move into place."""
    import pooch
    import requests

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
        fetched = Path(folder) / file.name
        bar = _ProgressBar(file.name, console)
        try:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK // 16)(file.url, str(fetched), None)
        except requests.RequestException as fault:
            raise DownloadError(
                f"{file.url} could not be downloaded: {fault}. "
                f"Fix: try again, or fetch it by hand and put it at {target}"
            ) from fault
        finally:
            bar.close()
        if file.url.endswith(".zip") and not file.name.endswith(".zip"):
            fetched = _unzip(file, fetched)
        found = digest(fetched)
        if found not in file.digests:
            raise DownloadError(
                f"{file.url} gave {fetched.stat().st_size} bytes with sha256 {found}, expected {file.bytes} bytes with "
                f"{file.sha256}. Nothing was kept. Fix: try again; if it stays so, the source has changed"
            )
        if target.exists():
            kept = target.with_name(f"{target.name}.wrong")
            os.replace(target, kept)
            console.print(f"{target} was not the published file: kept as {kept.name}", soft_wrap=True, highlight=False)
        os.replace(fetched, target)


def _unzip(file: DataFile, archive: Path) -> Path:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [name for name in opened.namelist() if name.rsplit("/", 1)[-1] == file.name]
            if not members:
                raise DownloadError(
                    f"{file.url} holds no {file.name}. Fix: the source has changed; fetch the file by hand"
                )
            content = archive.with_name("unzipped")
            content.write_bytes(opened.read(members[0]))
            return content
    except zipfile.BadZipFile as fault:
        raise DownloadError(f"{file.url} is not a complete zip file ({fault}). Fix: try again") from fault


class _ProgressBar:
    """What pooch calls a progress bar (``total``, ``update``, ``reset``, ``close``), drawn by rich on a terminal."""

    def __init__(self, name: str, console: Console) -> None:
        from rich.progress import Progress

        self._progress = Progress(console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    @property
    def total(self) -> float | None:
        return self._progress.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size or None)  # 0: the server does not say

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()


def _how_to_get(data: DataSet, file: DataFile) -> str:
    if file.url:
        return f"mmrepro data get {data.name}, or pass --data-root, or set ${ENVIRONMENT_VARIABLE}."
    return (
        f"it cannot be downloaded by a command. {data.instructions} Put it at <data root>/{file.path} "
        f"(--data-root or ${ENVIRONMENT_VARIABLE}); homepage: {data.homepage}"
    )


@cache
def _catalog() -> dict[str, DataSet]:
    paths = [Path(__file__).with_name("catalog.yml")]
    paths += [papers.root(paper) / "data-sets.yml" for paper in papers.names()]
    catalog: dict[str, DataSet] = {}
    for path in filter(Path.is_file, paths):
        for data in _read_catalog(path):
            if data.name in catalog:
                raise ValueError(f"{path}: the data set {data.name!r} is already declared by another catalog")
            catalog[data.name] = data
    return catalog


def _read_catalog(path: Path) -> Iterator[DataSet]:
    import yaml

    for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        data = DataSet(
            name=name,
            title=entry["title"],
            files=tuple(_read_file(path, name, item) for item in entry["files"]),
            folders=tuple(entry.get("folders", ())),
            licence=entry["licence"],
            homepage=entry["homepage"],
            citation=entry["citation"],
            instructions=entry.get("instructions", ""),
            what=entry.get("what", ""),
        )
        if data.folders and any(data.key(file) != file.name for file in data.files):
            raise ValueError(
                f"{path}: {name!r} has files of one name, and in its folders each would count as the other. "
                "Fix: leave out folders"
            )
        yield data


def _read_file(catalog: Path, data: str, item: dict) -> DataFile:
    if not any(known <= set(item) for known in ({"bytes", "sha256"}, {"rows", "variates"}, {"pictures"})):
        raise ValueError(
            f"{catalog}: {item['path']} of {data!r} can be checked by nothing. "
            "Fix: give bytes and sha256, or rows and variates where no checksum is published, or a folder's pictures"
        )
    return DataFile(
        path=item["path"],
        bytes=item.get("bytes"),
        sha256=item.get("sha256"),
        url=item.get("url"),
        accepts=tuple((other["sha256"], other["note"]) for other in item.get("accepts", ())),
        rows=item.get("rows"),
        variates=item.get("variates"),
        pictures=item.get("pictures"),
        part=item.get("part", False),
        ending=item.get("ending", ""),
    )
