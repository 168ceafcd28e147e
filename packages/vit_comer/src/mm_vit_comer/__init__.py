"""ViT-CoMer: plain ViTs with a convolutional multi-scale branch for dense prediction (arXiv 2403.07392), for OpenMMLab.

Importing this module registers the backbones, necks and heads in the root registry, which mmdet and mmsegmentation look
into, serves the operators of ``mmcv._ext`` where mmcv has none compiled, and puts the safe checkpoint loader behind
every door of mmengine.
"""

from importlib.util import find_spec

# Both: detection's and segmentation's parts are registered together, and Mask2Former's pixel decoder is mmdet's.
missing = [name for name in ("mmengine", "mmdet", "mmseg") if find_spec(name) is None]
if missing:
    raise ImportError(
        f"mm_vit_comer needs mmengine, mmdet and mmsegmentation, for detection alone too; {', '.join(missing)} "
        "cannot be imported: pip install onedl-mmengine onedl-mmdetection onedl-mmsegmentation "
        '(or install this package with its extra: pip install "./packages/vit_comer[openmmlab]")'
    )
del find_spec, missing

from mmrepro import safe_loading

safe_loading.install()

import mmrepro.dense.layer_decay
import mmrepro.detection.checked_coco
import mmrepro.detection.shapes
import mmrepro.engine.components  # noqa: F401
from mm_vit_comer import (
    checkpoint_hook,
    datasets,
    evaluation,
    models,
    pretrained,
)
from mm_vit_comer.inferencer import ViTCoMerDetInferencer, ViTCoMerSegInferencer

__all__ = [
    "ViTCoMerDetInferencer",
    "ViTCoMerSegInferencer",
    "checkpoint_hook",
    "datasets",
    "evaluation",
    "models",
    "pretrained",
]
