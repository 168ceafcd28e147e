"""Steps for pictures, applied to all frames of a clip with the same random choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EveryFrame(BaseTransform):
    """Apply mmpretrain's steps to each of ``frames``; what they draw from numpy's random state is the same for all.

    Args:
        transforms: configs of the steps; they see ``img`` with ``img_shape``.
    """

    def __init__(self, transforms: Sequence[dict[str, Any]]) -> None:
        self.steps = Compose([TRANSFORMS.build(step) for step in transforms])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``frames``."""
        state = np.random.get_state()  # noqa: NPY002  the engine seeds the global state
        frames = []
        for frame in results["frames"]:
            np.random.set_state(state)  # noqa: NPY002
            frames.append(self.steps({"img": frame, "img_shape": frame.shape[:2]})["img"])
        results["frames"] = frames
        return results
