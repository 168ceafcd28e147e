"""iTransformer (ICLR 2024, arXiv 2310.06625) for OpenMMLab: tokens are variates, attention mixes series.

Importing this module registers the paper's models, data sets, metrics and hooks in mmengine's root registries, and puts
the safe checkpoint loader behind every door of mmengine.
"""

try:
    import mmengine  # noqa: F401
except ImportError as error:
    raise ImportError(
        "mm_itransformer needs mmengine: pip install onedl-mmengine "
        '(or install this package with its extra: pip install "./packages/itransformer[openmmlab]")'
    ) from error

from mmrepro import safe_loading

safe_loading.install()

import mmrepro.engine.components
import mmrepro.forecasting  # noqa: F401
from mm_itransformer import datasets, evaluation, hooks, models, schedules
from mm_itransformer.inferencer import ITransformerInferencer

__all__ = ["ITransformerInferencer", "datasets", "evaluation", "hooks", "models", "schedules"]
