"""Relation-DETR: object detection with an explicit position relation between boxes (arXiv 2407.11699), for OpenMMLab.

Importing this module registers the paper's models, data sets and metrics in mmdet's registries, serves the operators of
``mmcv._ext`` where mmcv has none compiled, and puts the safe checkpoint loader behind every door of mmengine.
"""

try:
    import mmengine  # noqa: F401
except ImportError as error:
    raise ImportError(
        "mm_relation_detr needs mmengine and mmdet: pip install onedl-mmengine onedl-mmdetection "
        '(or install this package with its extra: pip install "./packages/relation_detr[openmmlab]")'
    ) from error

from mmrepro import safe_loading

safe_loading.install()

import mmrepro.engine.components  # noqa: F401
from mm_relation_detr import datasets, evaluation, load_hook, models, optimizers, warm_up
from mm_relation_detr.inferencer import RelationDETRInferencer
from mm_relation_detr.raw_prediction import RawPrediction

__all__ = [
    "RawPrediction",
    "RelationDETRInferencer",
    "datasets",
    "evaluation",
    "load_hook",
    "models",
    "optimizers",
    "warm_up",
]
