"""HAT, Hybrid Attention Transformer for image restoration (arXiv 2205.04437, 2309.05239), for OpenMMLab.

Importing this module registers the paper's networks, data sets, metrics and hooks in mmengine's root registries, and
puts the safe checkpoint loader behind every door of mmengine.
"""

try:
    import mmengine  # noqa: F401
except ImportError as error:
    raise ImportError(
        "mm_hat needs mmengine: pip install onedl-mmengine "
        '(or install this package with its extra: pip install "./packages/hat[openmmlab]")'
    ) from error

from mmrepro import safe_loading

safe_loading.install()

import mmrepro.engine.components  # noqa: F401
from mm_hat import checkpoint_hook, datasets, evaluation, hooks, models
from mm_hat.inferencer import HATInferencer

__all__ = ["HATInferencer", "checkpoint_hook", "datasets", "evaluation", "hooks", "models"]
