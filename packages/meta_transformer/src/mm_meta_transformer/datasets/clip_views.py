"""The views of a clip that the model sees: crops along its long side, and all of them as one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mm_meta_transformer.datasets.data_error import DataError


@TRANSFORMS.register_module()
class CropViews(BaseTransform):
    """Cut squares of the short side from each of ``frames``, spread evenly along the long side.

    Args:
        count: how many; 1 is the one in the middle.
    """

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``frames`` by those of the first crop, then those of the second, and so on."""
        height, width = results["frames"][0].shape[:2]
        side, room = min(height, width), abs(height - width)
        places = [room // 2] if self.count == 1 else np.linspace(0, room, self.count).round().astype(int)
        results["frames"] = [
            frame[at : at + side] if height > width else frame[:, at : at + side]
            for at in places
            for frame in results["frames"]
        ]
        return results


@TRANSFORMS.register_module()
class StackFrames(BaseTransform):
    """Make one array of ``frames``.

    Args:
        num_frames: of a clip.
        views: whether the views get an axis of their own, which :class:`.MultiViewClassifier` averages over.

    Raises:
        DataError: there are several views and no axis for them, or the frames are of several sizes.
    """

    def __init__(self, num_frames: int = 16, views: bool = False) -> None:
        self.num_frames, self.views = num_frames, views

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``clip``, ``(3, T, H, W)`` uint8, or ``(V, 3, T, H, W)`` with ``views``."""
        frames = results.pop("frames")
        sizes = {frame.shape for frame in frames}
        if len(sizes) > 1:
            raise DataError(f"frames of {results.get('img_path')} are of sizes {sorted(sizes)}: resize them before")
        clips = np.stack(frames).reshape(-1, self.num_frames, *frames[0].shape).transpose(0, 4, 1, 2, 3)
        if len(clips) > 1 and not self.views:
            raise DataError(f"there are {len(clips)} views. Fix: views=True of StackFrames, and MultiViewClassifier")
        results["clip"] = np.ascontiguousarray(clips if self.views else clips[0])
        return results
