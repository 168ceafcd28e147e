"""The parity adapter: what the official code computed in a case, computed by this package.

Each kind of case is served by a function of its own name in the file beside this one that has its subject.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.registry import DefaultScope

import mm_monodino_detr  # noqa: F401  registers everything
from mmrepro.testing import SplitAdapter

KINDS = {
    "parity_body": ("vit_features",),
    "parity_network": ("model_eval", "model_train", "decoder_layer", "tables"),
    "parity_losses": ("criterion", "decode"),
    "parity_data": ("kitti_ap", "adamw"),
    "parity_pipeline": ("pipeline",),
}

_ADAPTER = SplitAdapter(Path(__file__).resolve().parent, KINDS)


def run(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute what ``manifest["entry"]`` computes, by the case's names.

    Raises:
        ValueError: this package does not serve the case's kind.
    """
    with DefaultScope.overwrite_default_scope("mmdet"):  # parts are built by their names there
        return _ADAPTER.run(manifest, state, inputs)
