"""Says in one line which class of a config has no such argument, and which it has."""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from types import FrameType

_UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")


def describe(error: TypeError) -> str | None:
    """Return the line where a config gave a class an argument that it does not take; None for any other error.

    The frame in which mmengine calls the class tells them apart: it holds the class and the arguments. A call with a
    wrong keyword elsewhere is a fault of the code, and keeps its traceback.
    """
    found = _UNKNOWN.search(str(error))
    built = _innermost_call(error)
    if not (found and built):
        return None
    (kind, arguments), name = built, found[1]
    if name not in arguments:
        return None
    close = difflib.get_close_matches(name, _parameters(kind), n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"{kind.__name__} has no argument {name!r}.{hint}"


def _innermost_call(error: TypeError) -> tuple[type, dict] | None:
    """Return the class and the arguments of the last call of mmengine's that builds something from a config."""
    calls = [call for frame, _ in traceback.walk_tb(error.__traceback__) if (call := _call(frame))]
    return calls[-1] if calls else None


def _call(frame: FrameType) -> tuple[type, dict] | None:
    place = frame.f_globals.get("__name__"), frame.f_code.co_name
    if place == ("mmengine.registry.build_functions", "build_from_cfg"):
        kind, arguments = frame.f_locals.get("obj_cls"), frame.f_locals.get("args")
    elif place == ("mmengine.runner.runner", "build_dataloader"):
        kind, arguments = frame.f_globals.get("DataLoader"), frame.f_locals.get("dataloader_cfg")
    else:
        return None
    return (kind, arguments) if hasattr(kind, "__name__") and isinstance(arguments, dict) else None


def _parameters(kind: type) -> set[str]:
    """Return the arguments of a class and of those that it passes further ones to, or of a function."""
    calls = [each.__init__ for each in kind.__mro__[:-1]] if inspect.isclass(kind) else [kind]
    return {name for call in calls for name in inspect.signature(call).parameters} - {"self", "args", "kwargs"}
