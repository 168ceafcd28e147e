"""mmdet and mmseg need the operators that importing this package serves, so it comes first."""

import pytest
from mmengine.registry import DefaultScope

import mm_meta_transformer  # noqa: F401


@pytest.fixture(autouse=True)
def _in_mmpretrains_scope():
    """Names are looked up as in a config of this package, whatever scope another package's tests left."""
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield
