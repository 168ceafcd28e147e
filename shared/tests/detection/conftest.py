"""What tests of detection share: mmdet's scope, whatever scope other tests left."""

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def _in_mmdets_scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield
