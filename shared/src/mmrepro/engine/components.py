"""Importing this module registers everything of the engine with mmengine: list it in ``custom_imports``.

A paper's module imports it; a config outside of the papers says
``custom_imports = dict(imports=["mmrepro.engine.components"], allow_failed_imports=False)``.
"""

from .bf16 import BFloat16OptimWrapper
from .checkpoint_hook import AtomicCheckpointHook
from .early_stopping_hook import ResumableEarlyStoppingHook
from .float32_predictions_hook import Float32PredictionsHook
from .history_cap_hook import HistoryCapHook
from .load_best_hook import LoadBestHook
from .loops import ResumableEpochLoop, ResumableIterLoop
from .non_finite_guard_hook import NonFiniteGuardHook
from .partwise_parallel import PartwiseDistributedDataParallel
from .progress_hook import ProgressHook
from .reduced_losses_hook import ReducedLossesHook
from .seeded_data import SeededBatchSampler, SeededDataset
from .strict_load_hook import StrictLoadHook

__all__ = [
    "AtomicCheckpointHook",
    "BFloat16OptimWrapper",
    "Float32PredictionsHook",
    "HistoryCapHook",
    "LoadBestHook",
    "NonFiniteGuardHook",
    "PartwiseDistributedDataParallel",
    "ProgressHook",
    "ReducedLossesHook",
    "ResumableEarlyStoppingHook",
    "ResumableEpochLoop",
    "ResumableIterLoop",
    "SeededBatchSampler",
    "SeededDataset",
    "StrictLoadHook",
]
