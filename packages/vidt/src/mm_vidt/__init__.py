"""ViDT and ViDT+: detectors and instance masks from Swin bodies with [DET] tokens (arXiv 2110.03921, 2204.07962).

Importing this module registers the paper's models, data sets and metrics in mmdet's registries, serves the operators of
``mmcv._ext`` where mmcv has none compiled, and puts the safe checkpoint loader behind every door of mmengine.
"""

from importlib.util import find_spec

missing = [name for name in ("mmengine", "mmdet") if find_spec(name) is None]
if missing:
    raise ImportError(
        f"mm_vidt needs mmengine and mmdet; {', '.join(missing)} cannot be imported: "
        "pip install onedl-mmengine onedl-mmdetection "
        '(or install this package with its extra: pip install "./packages/vidt[openmmlab]")'
    )
del find_spec, missing

from mmrepro import safe_loading

safe_loading.install()

import mmrepro.engine.components  # noqa: F401
from mm_vidt import checkpoint_hook, datasets, evaluation, models, optimizers
from mm_vidt.inferencer import ViDTInferencer
from mm_vidt.models import distiller
from mm_vidt.raw_prediction import RawPrediction

__all__ = [
    "RawPrediction",
    "ViDTInferencer",
    "checkpoint_hook",
    "datasets",
    "distiller",
    "evaluation",
    "models",
    "optimizers",
]
