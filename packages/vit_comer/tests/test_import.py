"""Importing the package: what it gives, and what it says where a library is missing."""

import runpy
import sys

import pytest

import mm_vit_comer


@pytest.mark.parametrize("name", ["mmengine", "mmdet", "mmseg"])
def test_a_missing_library_is_named_with_the_command(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    message = (
        rf"needs mmengine, mmdet and mmsegmentation, for detection alone too; {name} cannot be imported: pip install"
    )
    with pytest.raises(ImportError, match=message):
        runpy.run_path(mm_vit_comer.__file__)


def test_the_inferencers_are_at_the_top():
    assert {"ViTCoMerDetInferencer", "ViTCoMerSegInferencer"} <= set(mm_vit_comer.__all__)
    assert all(hasattr(mm_vit_comer, name) for name in mm_vit_comer.__all__)
    assert callable(mm_vit_comer.ViTCoMerSegInferencer.explain)
