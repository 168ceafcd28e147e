"""Every served operator that a compiled mmcv has on the CPU, beside it; `nox -s compiled` builds one."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmrepro.ops import ext, finder

ROUNDS = 40


def cases() -> dict:
    """Return the makers of arguments by operator, from the files beside this one."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("compiled_cases_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.CASES
    return found


def compiled_operators():
    if importlib.util.find_spec("mmcv") is None:
        return None
    module = importlib.import_module(finder.EXTENSION)
    return None if finder.is_served(module) else module


def tensors(node: object) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from tensors(child)
    elif isinstance(node, (int, float)):
        yield torch.tensor(node)


CASES = cases()


@pytest.mark.skipif(compiled_operators() is None, reason="mmcv's operators are not compiled here: nox -s compiled")
@pytest.mark.parametrize("name", sorted(CASES))
def test_the_compiled_operator_agrees(name):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for _ in range(ROUNDS):
        given = CASES[name](generator)
        ours, theirs = deepcopy(given), deepcopy(given)
        returned = ext.operator(name)(*ours), getattr(compiled_operators(), name)(*theirs)
        for mine, wanted in zip(tensors((*ours, returned[0])), tensors((*theirs, returned[1])), strict=True):
            # float32 sums in another order; integers, kept indices and empty tensors must be equal
            torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_every_case_is_of_a_served_operator():
    assert set(CASES) <= set(ext.MODULE_OF)
