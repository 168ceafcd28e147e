"""The parity adapter: what the official code computed in a case, computed by this package.

Each kind of case is served by a function of its own name in the file beside this one that has its subject.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.registry import DefaultScope

import mm_vidt  # noqa: F401  registers everything
from mmrepro.testing import SplitAdapter

KINDS = {
    "parity_network": ("forward", "gradients", "modules", "wo_neck_forward"),
    "parity_losses": ("losses", "distil_loss", "wo_neck_losses", "postprocess"),
    "parity_data": ("coco_eval", "data_pipeline", "optimizer"),
}

_ADAPTER = SplitAdapter(Path(__file__).resolve().parent, KINDS)


def run(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute what ``manifest["entry"]`` computes, by the case's names.

    Raises:
        ValueError: this package does not serve the case's kind.
    """
    with DefaultScope.overwrite_default_scope("mmdet"):  # parts are built by their names there
        return _ADAPTER.run(manifest, state, inputs)
