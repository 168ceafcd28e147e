"""The parity adapter: what the official code computed in a case, computed by this package.

Each kind of case is served by a function of its own name in the file beside this one that has its subject.
"""

from __future__ import annotations

from pathlib import Path

import mm_hat  # noqa: F401  registers everything
from mmrepro.testing import SplitAdapter

KINDS = {
    "parity_network": ("forward", "gradients", "relative_index_and_mask", "unet_discriminator_sn"),
    "parity_restoration": ("losses", "gan_step", "train_steps_adam_ema", "tile_inference"),
    "parity_data": ("datasets", "df2k_meta_info", "imresize_bicubic"),
    "parity_metrics": ("metrics", "bicubic_benchmark"),
    "parity_degradation": ("degradation_ops", "degradation_pipeline"),
}

_ADAPTER = SplitAdapter(Path(__file__).resolve().parent, KINDS)
run, part = _ADAPTER.run, _ADAPTER.part
