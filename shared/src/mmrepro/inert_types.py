"""The types that a checkpoint may hold besides tensors and Python's plain ones: the reviewed list.

What could do more than hold data is not given to the file as it is. Under its name stands a stand-in that only takes
notes and checks them; :meth:`Session.settle` makes the real objects once the file is read. So no code of numpy or
mmengine runs on what a file says, and nothing callable comes out of one. A name that is missing here is refused.

=============================================== =======================================================================
``argparse.Namespace``                          official files keep their training arguments in one
``collections.deque``                           smoothed losses; becomes a deque with the file's ``maxlen``
``collections.Counter``, ``builtins.set``       plain containers, given as they are
``pathlib`` paths                               a path of the other system becomes a pure path
numpy array, scalar, dtype                      numbers, booleans, fixed-width text; no objects, no structures, no dates
``HistoryBuffer`` of mmengine                   its logged numbers; the table of methods in the file is ignored
``builtins.getattr``                            answers for the four methods in that table, with their name
``_codecs.encode``, ``builtins.bytes``          bytes, which pickle spells as calls: of latin1 text, and the empty one
=============================================== =======================================================================
"""

from __future__ import annotations

import os
import pathlib
import re
from argparse import Namespace
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

_DTYPE = re.compile(r"[?biufcSU]\d*")
_HISTORY_METHODS = ("min", "max", "current", "mean")


class RefusedError(Exception):
    """A file uses an allowed name for something that it is not allowed for.

    Args:
        name: the global that the file names.
        why: what it tried.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


class _Namespace:
    """Stands for ``argparse.Namespace``."""

    attributes: dict[str, Any]

    def __new__(cls) -> _Namespace:
        notes = super().__new__(cls)
        notes.attributes = {}
        return notes

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict:
            raise RefusedError("argparse.Namespace", "its state is not a dictionary")
        self.attributes = state


class _Dtype:
    """Stands for ``numpy.dtype``: kind and size from the call, byte order from the state."""

    def __new__(cls, code: Any = None, *_: Any) -> _Dtype:
        if type(code) is not str or not _DTYPE.fullmatch(code):
            raise RefusedError("numpy.dtype", f"only numbers, booleans and fixed-width text are read, not {code!r}")
        notes = super().__new__(cls)
        notes.dtype = np.dtype(code)
        return notes

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise RefusedError("numpy.dtype", "its state is not the one of a plain type")
        if any(part is not None for part in state[2:5]):
            raise RefusedError("numpy.dtype", "structured types are not read")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``: the name, and the empty array that ``_reconstruct`` returns."""

    array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, notes, fortran, raw = state
        if type(notes) is not _Dtype or type(raw) is not bytes:
            raise RefusedError("numpy.ndarray", "its content is not the bytes of a plain array")
        flat = np.frombuffer(raw, notes.dtype).copy() if raw else np.empty(0, notes.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


class _History:
    """Stands for mmengine's ``HistoryBuffer``: keeps its numbers, ignores its table of methods."""

    state: dict[str, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict or not {"_log_history", "_count_history", "max_length"} <= state.keys():
            raise RefusedError("mmengine.logging.history_buffer.HistoryBuffer", "its state is not a history")
        self.state = state


def _reconstruct(of: Any, *_: Any) -> _Array:
    if of is not _Array:
        raise RefusedError("numpy._core.multiarray._reconstruct", "only numpy.ndarray itself is read")
    return _Array()


def _scalar(notes: Any, raw: Any) -> np.generic:
    if type(notes) is not _Dtype or type(raw) is not bytes or len(raw) != notes.dtype.itemsize:
        raise RefusedError("numpy._core.multiarray.scalar", "its content is not the bytes of one number")
    return np.frombuffer(raw, notes.dtype)[0]


def _getattr(of: Any, name: Any) -> str:
    if of is not _History or name not in _HISTORY_METHODS:
        raise RefusedError("builtins.getattr", f"only the methods {', '.join(_HISTORY_METHODS)} of HistoryBuffer")
    return name


def _encode(text: Any, encoding: Any = None) -> bytes:
    if type(text) is not str or encoding != "latin1":
        raise RefusedError("_codecs.encode", "only the latin1 text that stands for bytes")
    return text.encode("latin1")


def _bytes(*content: Any) -> bytes:
    if content:
        raise RefusedError("builtins.bytes", "only the empty bytes object")
    return b""


def _path(flavour: type[pathlib.PurePath], *parts: Any) -> pathlib.PurePath:
    if not all(type(part) is str for part in parts):
        raise RefusedError(f"pathlib.{flavour.__name__}", "its parts are not texts")
    own = pathlib.PureWindowsPath if os.name == "nt" else pathlib.PurePosixPath
    return pathlib.Path(*parts) if flavour is own else flavour(*parts)


class Session:
    """The stand-ins for one file.

    Attributes:
        allowed: the stand-ins, each carrying the name that it stands for; nothing else may be named by the file.
    """

    def __init__(self) -> None:
        # The instruction that appends items works on lists alone: a deque is a list while the file is read.
        self._deques: dict[int, tuple[list, int | None]] = {}
        self.allowed: list[Callable] = [
            _named(_Namespace, "argparse", "Namespace"),
            _named(_Array, "numpy", "ndarray"),
            _named(_Dtype, "numpy", "dtype"),
            _named(_History, "mmengine.logging.history_buffer", "HistoryBuffer"),
            _named(partial(self._deque), "collections", "deque"),
            _named(partial(_getattr), "builtins", "getattr"),
            _named(partial(_bytes), "builtins", "bytes"),
            # Torch's own list has these since 2.5 or 2.6, and then they are taken from there.
            _named(partial(_encode), "_codecs", "encode"),
            Counter,
            set,
        ]
        for module in ("numpy._core.multiarray", "numpy.core.multiarray"):  # numpy 2 and 1
            self.allowed.append(_named(partial(_reconstruct), module, "_reconstruct"))
            self.allowed.append(_named(partial(_scalar), module, "scalar"))
        for module in ("pathlib", "pathlib._local"):  # Python 3.13 has the second
            for name in ("PosixPath", "PurePosixPath"):
                self.allowed.append(_named(partial(_path, pathlib.PurePosixPath), module, name))
            for name in ("WindowsPath", "PureWindowsPath"):
                self.allowed.append(_named(partial(_path, pathlib.PureWindowsPath), module, name))

    def _deque(self, content: Any = (), maxlen: Any = None) -> list:
        if type(content) not in (list, tuple) or not (maxlen is None or type(maxlen) is int):
            raise RefusedError("collections.deque", "its content is not a list")
        items = list(content)
        self._deques[id(items)] = (items, maxlen)
        return items

    def settle(self, loaded: Any) -> Any:
        """Return what the file holds, with the real objects in place of the stand-ins.

        Raises:
            RefusedError: the notes do not make the object that they should.
        """
        return self._settle(loaded, {})

    def _settle(self, item: Any, done: dict[int, Any]) -> Any:
        if id(item) in done:
            return done[id(item)]
        kind = type(item)
        if kind is list and id(item) in self._deques:
            result = done[id(item)] = deque(maxlen=self._deques[id(item)][1])
            result.extend(self._settle(value, done) for value in item)
        elif kind is list:
            result = done[id(item)] = item
            item[:] = [self._settle(value, done) for value in item]
        elif kind in (dict, OrderedDict, Counter):
            result = done[id(item)] = item
            for key in item:
                item[key] = self._settle(item[key], done)
        elif kind in (tuple, set):
            result = kind([self._settle(value, done) for value in item])
        elif kind is _Namespace:
            result = done[id(item)] = Namespace()
            vars(result).update(self._settle(item.attributes, done))
        elif kind is _Dtype:
            result = item.dtype
        elif kind is _Array:
            result = item.array
        elif kind is _History:
            result = done[id(item)] = _history(item.state, self._settle(item.state, done))
        else:
            return item
        done[id(item)] = result
        return result


def _history(notes: dict[str, Any] | None, state: dict[str, Any] | None) -> Any:
    from mmengine.logging import HistoryBuffer

    if notes is None or state is None:
        raise RefusedError("mmengine.logging.history_buffer.HistoryBuffer", "it has no state")
    log, count, length = state["_log_history"], state["_count_history"], state["max_length"]
    plain = isinstance(log, np.ndarray) and isinstance(count, np.ndarray) and type(length) is int
    if not plain or log.ndim != 1 or log.shape != count.shape or log.dtype.kind not in "biuf":
        raise RefusedError("mmengine.logging.history_buffer.HistoryBuffer", "its state is not a history of numbers")
    return HistoryBuffer(log, count, length)


def _named(stand_in: Any, module: str, name: str) -> Any:
    stand_in.__module__ = module
    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in
