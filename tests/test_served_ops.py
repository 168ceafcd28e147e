"""The served operators beside mmcv's own table of bindings, and every name that mmcv asks for at import."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from mmrepro.ops import ext

MMCV = Path(importlib.util.find_spec("mmcv").submodule_search_locations[0])
BINDINGS = MMCV / "ops" / "csrc" / "pytorch" / "pybind.cpp"


def bound_arguments() -> dict[str, list[list[str]]]:
    """Return the argument names of each operator, in order, of each of its bindings (there are overloads)."""
    found: dict[str, list[list[str]]] = {}
    for binding in BINDINGS.read_text(encoding="utf-8").split("m.def(")[1:]:
        names = re.findall(r'py::arg\("(\w+)"\)', binding)
        found.setdefault(re.match(r'\s*"(\w+)"', binding)[1], []).append(names)
    return found


def asked_at_import() -> dict[str, str]:
    """Return every operator that a module of ``mmcv.ops`` asks for when it is imported, and that module."""
    found = {}
    for module in sorted((MMCV / "ops").glob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_ext":
                found |= dict.fromkeys(ast.literal_eval(node.args[1]), module.stem)
    return found


ASKED = asked_at_import()


@pytest.mark.skipif(not BINDINGS.is_file(), reason="the installed mmcv comes without the sources of its operators")
@pytest.mark.parametrize("name", sorted(ext.MODULE_OF))
def test_arguments_are_those_of_mmcvs_binding(name):
    assert list(inspect.signature(ext.operator(name)).parameters) in bound_arguments()[name]


@pytest.mark.parametrize("name", sorted(ASKED))
def test_what_mmcv_asks_for_is_served_or_refused_by_name(name):
    operator = ext.operator(name)
    assert operator.__name__ == name
    if name not in ext.MODULE_OF:
        with pytest.raises(ext.OperatorNotServedError, match=rf"'{name}' .*compile mmcv.* or use a model"):
            operator()


def test_mmcv_asks_for_every_operator_that_is_served():
    assert set(ext.MODULE_OF) <= set(ASKED)
