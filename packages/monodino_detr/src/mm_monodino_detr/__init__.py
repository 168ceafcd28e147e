"""MonoDINO-DETR: monocular 3D detection with a depth-aware DETR on a frozen DINOv2 (arXiv 2502.00315).

Importing this module registers the paper's models, data sets and metrics in mmdet's registries, serves the operators of
``mmcv._ext`` where mmcv has none compiled, and puts the safe checkpoint loader behind every door of mmengine.
"""

from importlib.util import find_spec

missing = [name for name in ("mmengine", "mmdet") if find_spec(name) is None]
if missing:
    raise ImportError(
        f"mm_monodino_detr needs mmengine and mmdet; {', '.join(missing)} cannot be imported: "
        "pip install onedl-mmengine onedl-mmdetection "
        '(or install this package with its extra: pip install "./packages/monodino_detr[openmmlab]")'
    )
del find_spec, missing

from mmrepro import safe_loading

safe_loading.install()

import mmrepro.engine.components  # noqa: F401
from mm_monodino_detr import (
    checkpoint_hook,
    common_places,
    datasets,
    evaluation,
    legacy_adamw,
    models,
    optimizers,
    visualizer,
)
from mm_monodino_detr.inferencer import MonoDINODETRInferencer

__all__ = [
    "MonoDINODETRInferencer",
    "checkpoint_hook",
    "common_places",
    "datasets",
    "evaluation",
    "legacy_adamw",
    "models",
    "optimizers",
    "visualizer",
]
