"""The one way to read a checkpoint: safetensors, else ``torch.load(weights_only=True)`` with the types reviewed in
:mod:`mmrepro.inert_types`. There is no fallback to full unpickling and no switch for one.

:func:`install` puts it behind every door of mmengine: ``load_checkpoint``, ``load_from``, ``resume``, ``init_cfg``, the
inferencers, ``mim test``, and the ``init_*`` functions of mmdet, mmseg and mmpretrain, for files and URLs.

The config text that mmengine stores in a checkpoint is a program, and even a harmless looking
``dict(type='os.system', ...)`` runs when a registry builds it. It never leaves this module: see :func:`load`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import struct
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from re import search
from tarfile import is_tarfile
from typing import Any, BinaryIO
from urllib.parse import urlparse

import torch

from mmrepro.inert_types import RefusedError, Session

CONFIG_REFUSAL = (
    "the config inside a checkpoint is a program and is not run; pass the config's name or path beside the checkpoint"
)
# Itself a config, for whoever runs it all the same: all that it does is to raise our error.
CONFIG_STAND_IN = (
    f"raise __import__('mmrepro.safe_loading', fromlist=['_']).UnsafeCheckpointError('the checkpoint', "
    f'detail="{CONFIG_REFUSAL}")\n'
)
_INSTEAD = (
    "Ask its author for a safetensors file. If you made it yourself, keep only the weights where it was made: "
    "torch.save(model.state_dict(), 'weights.pth')"
)
# What torch's reader raises for content that makes no sense; the list is long because the content is a program.
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_GLOBALS_LOCK = threading.Lock()
_latest: tuple[int, str] = (0, "")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file and says what to do."""


class UnreadableCheckpointError(CheckpointError):
    """The file is not a checkpoint, or not a whole one."""


class UnsafeCheckpointError(CheckpointError):
    """The file asks for more than weights: reading it any further could run its code.

    Args:
        file: the file or URL.
        name: the global that was refused, for example ``posix.system``; empty where the reason is another one.
        detail: the reason in one sentence.
    """

    def __init__(self, file: str, name: str = "", detail: str = "") -> None:
        self.file, self.name = file, name
        reason = detail or f"it asks for {name}, which is not on the list of inert types"
        super().__init__(f"{file} is not loaded: {reason}. {'' if CONFIG_REFUSAL in reason else _INSTEAD}".rstrip())


def load(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running anything from it.

    A config text inside (``meta.cfg``, ``meta.config``, ``message_hub.runtime_info.cfg``) is taken out:
    ``meta.cfg`` and ``meta.config`` become a text that raises :class:`UnsafeCheckpointError` where something tries to
    use it as a config, and the message hub keeps the running config's text on resume.

    Args:
        path: a safetensors file (known by its content) or one written by ``torch.save``.
        map_location: as for ``torch.load``; a safetensors file takes a device or its name.

    Returns:
        The file's content; of a safetensors file the tensors under ``state_dict``, the metadata under ``meta``.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafeCheckpointError: it holds a type that is not reviewed.
        UnreadableCheckpointError: it is empty, cut off, a Git LFS pointer, a web page, or no dictionary.
    """
    loaded = _load_file(Path(path).expanduser(), map_location)
    if not isinstance(loaded, dict):
        raise UnreadableCheckpointError(f"{path} holds a {type(loaded).__name__}, not a dictionary of weights")
    return loaded


def source_of(checkpoint: object) -> str:
    """Return the file or URL of this checkpoint when it was the last one loaded, else ``the checkpoint``."""
    return _latest[1] if _latest[0] == id(checkpoint) else "the checkpoint"


def install() -> None:
    """Put :func:`load` behind mmengine's doors; a second call changes nothing.

    Also sets ``TORCH_FORCE_WEIGHTS_ONLY_LOAD=1``, a second layer: from then on every ``torch.load`` of this process,
    also those of other libraries and of torch.hub, refuses to unpickle. Without mmengine this is all that it does.
    """
    if os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None):
        warnings.warn("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set: ignored, mmrepro has no unsafe loading", stacklevel=2)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    if importlib.util.find_spec("mmengine") is None:
        return
    from mmengine.runner import checkpoint
    from mmengine.utils import dl_utils

    # Stock functions call each other through these names of their module (mmcls:// and torchvision:// do).
    checkpoint._safe_torch_load = _load_for_mmengine
    checkpoint.load_url = dl_utils.load_url = dl_utils.hub.load_url = load_url
    for prefixes, loader in _SCHEMES.items():
        setattr(checkpoint, loader.__name__, loader)
        checkpoint.CheckpointLoader.register_scheme(list(prefixes), loader, force=True)


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """Download a checkpoint into torch's cache, unless it is there, and read it; as ``torch.hub`` does, but safely.

    Args:
        weights_only: accepted for the signature's sake; nothing but weights is ever read.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints")
    name = file_name or Path(urlparse(url).path).name
    cached = folder / name
    if not cached.exists():
        folder.mkdir(parents=True, exist_ok=True)
        digest = torch.hub.HASH_REGEX.search(name) if check_hash else None
        torch.hub.download_url_to_file(url, str(cached), digest and digest.group(1), progress=progress)
    return _load_file(cached, map_location, source=url)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Stand behind plain paths in mmengine."""
    return _load_file(Path(filename).expanduser(), map_location)


def load_from_http(filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True) -> Any:
    """Stand behind ``http://`` and ``https://`` in mmengine; the first process downloads, the others wait for it."""
    from mmengine.dist import barrier, get_rank

    try:
        if get_rank() == 0:
            checkpoint = load_url(filename, model_dir, map_location, progress)
    finally:
        barrier()  # also after an error: the others meet the same one instead of waiting for ever
    if get_rank() > 0:
        checkpoint = load_url(filename, model_dir, map_location, progress)
    return checkpoint


def load_from_torchvision(filename: str, map_location: Any = None) -> Any:
    """Stand behind ``torchvision://`` and ``modelzoo://`` in mmengine."""
    from mmengine.runner.checkpoint import get_torchvision_models

    return load_from_http(get_torchvision_models()[filename.split("://", 1)[1]], map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
    """Stand behind ``openmmlab://`` and ``open-mmlab://`` in mmengine: names of URLs, or of files in its home."""
    from mmengine.runner.checkpoint import _get_mmengine_home, get_deprecated_model_names, get_external_models

    name = filename.split("://", 1)[1]
    place = get_external_models()[get_deprecated_model_names().get(name, name)]
    if place.startswith(("http://", "https://")):
        return load_from_http(place, map_location)
    return _load_file(Path(_get_mmengine_home()) / place, map_location)


def load_from_mmcls(filename: str, map_location: Any = None) -> Any:
    """Stand behind ``mmcls://`` in mmengine."""
    from mmengine.runner.checkpoint import _process_mmcls_checkpoint, get_mmcls_models

    return _process_mmcls_checkpoint(load_from_http(get_mmcls_models()[filename.split("://", 1)[1]], map_location))


def load_from_ceph(filename: str, map_location: Any = None, backend: str = "petrel") -> Any:
    """Stand behind ``s3://`` and ``petrel://`` in mmengine."""
    from mmengine.fileio import get_file_backend

    content = get_file_backend(filename, backend_args={"backend": backend}).get(filename)
    return _load_bytes(content, map_location, source=filename)


def load_from_pavi(filename: str, map_location: Any = None) -> Any:
    """Stand behind ``pavi://`` in mmengine."""
    from pavi import modelcloud

    model = modelcloud.get(filename.split("://", 1)[1])
    with tempfile.TemporaryDirectory() as folder:
        model.download(str(Path(folder) / model.name))
        return _load_file(Path(folder) / model.name, map_location, source=filename)


_SCHEMES: dict[tuple[str, ...], Callable[..., Any]] = {
    ("",): load_from_local,
    ("http://", "https://"): load_from_http,
    ("torchvision://", "modelzoo://"): load_from_torchvision,
    ("openmmlab://", "open-mmlab://"): load_from_openmmlab,
    ("mmcls://",): load_from_mmcls,
    (r"(\S+\:)?s3://", r"(\S+\:)?petrel://"): load_from_ceph,
    ("pavi://",): load_from_pavi,
}


def _load_for_mmengine(file: str | Path | BinaryIO, map_location: Any = None, weights_only: bool | None = None) -> Any:
    """Stand behind mmengine's wrapper of ``torch.load``; ``weights_only`` cannot be turned off."""
    if isinstance(file, str | Path):
        return _load_file(Path(file), map_location)
    return _load_bytes(file.read(), map_location, source="the stream")


def _load_bytes(content: bytes, map_location: Any, source: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        path.write_bytes(content)
        return _load_file(path, map_location, source)


def _load_file(path: Path, map_location: Any, source: str = "") -> Any:
    global _latest
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    source = source or str(path)
    with path.open("rb") as stream:
        start = stream.read(512)
    _check_start(start, source)
    read = _read_safetensors if start[8:9] == b"{" else _read_pickle
    loaded = read(path, map_location, source)
    _take_out_config(loaded)
    _latest = (id(loaded), source)
    return loaded


def _check_start(start: bytes, source: str) -> None:
    if not start:
        raise UnreadableCheckpointError(f"{source} is empty. Download it again")
    if start.startswith(b"version https://git-lfs"):
        raise UnreadableCheckpointError(f"{source} is a Git LFS pointer, not the file. Get the file with: git lfs pull")
    if start.lstrip()[:5].lower() in (b"<html", b"<!doc", b"<?xml"):
        raise UnreadableCheckpointError(f"{source} is a web page, not a checkpoint. Download it with a direct link")


def _read_safetensors(path: Path, map_location: Any, source: str) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    device = str(map_location) if isinstance(map_location, str | torch.device) else "cpu"
    try:
        with safe_open(str(path), framework="pt", device=device) as file:
            texts = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is not a mapping)
        # Ours are JSON, and say so; those of others are plain texts.
        meta = {key: json.loads(text) for key, text in texts.items()} if "mmrepro" in texts else texts
    except (SafetensorError, ValueError) as error:
        raise UnreadableCheckpointError(f"{source} is damaged or cut off ({error}). Download it again") from error
    return {"state_dict": state, "meta": meta}


def _read_pickle(path: Path, map_location: Any, source: str) -> Any:
    session = Session()
    try:
        archive = _archive(path)
        if not archive:
            with path.open("rb") as stream, _only(session.allowed):
                loaded = torch.load(stream, map_location=map_location, weights_only=True)
            return session.settle(loaded)
    except RefusedError as error:
        raise UnsafeCheckpointError(source, error.name, f"it asks for {error}") from error
    except _UNREADABLE as error:
        reason = str(error)
        if refused := search(r"GLOBAL (\S+)", reason):
            name = refused.group(1)  # torch leaves "builtins." out
            raise UnsafeCheckpointError(source, name if "." in name else f"builtins.{name}") from error
        if odd := search(r"Unsupported operand \d+|(Can only|Trying to|Only persistent).*", reason):
            detail = f"it holds more than weights and plain types ({odd.group()})"
            raise UnsafeCheckpointError(source, detail=detail) from error
        reason = f"{type(error).__name__}: {reason.strip().split('. ')[0]}"
        raise UnreadableCheckpointError(
            f"{source} cannot be read ({reason}). If it is damaged or cut off, download it again"
        ) from error
    raise UnsafeCheckpointError(source, detail=f"it is {archive}")


def _archive(path: Path) -> str:
    """Return what a file is that torch up to 2.5.1 reads with ``weights_only=True`` although it is more; else ''."""
    if is_tarfile(path):
        return "a tar archive, as torch wrote before its version 0.2"
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\3\4"
    # Torch's own reader: it and torch.load see the same list of members.
    if zipped and "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
        return "a TorchScript archive, a program"
    return ""


@contextmanager
def _only(allowed: list[Callable]) -> Iterator[None]:
    """Make this list the whole list of allowed globals: what other libraries added to it does not hold here."""
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

    with _GLOBALS_LOCK:
        others = list(get_safe_globals())
        clear_safe_globals()
        add_safe_globals(allowed)
        try:
            yield
        finally:
            clear_safe_globals()
            add_safe_globals(others)


def _take_out_config(checkpoint: Any) -> None:
    """Replace the config texts where mmengine, mmdet, mmseg and mmpretrain look for them."""
    if not isinstance(checkpoint, dict):
        return
    meta = checkpoint.get("meta")
    hub = checkpoint.get("message_hub")
    info = hub.get("runtime_info") if isinstance(hub, dict) else None
    # Taken out of the hub, not replaced: a resumed run keeps its own config's text there.
    if isinstance(info, dict) and "cfg" in info:
        del info["cfg"]
        meta = checkpoint.setdefault("meta", {})
        if isinstance(meta, dict):
            meta["cfg"] = CONFIG_STAND_IN
    if isinstance(meta, dict):
        meta.update({key: CONFIG_STAND_IN for key in ("cfg", "config") if key in meta})
