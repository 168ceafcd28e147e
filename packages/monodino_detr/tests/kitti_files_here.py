"""Folders in KITTI's layout for tests: a few frames that a test can spoil."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmrepro.datasets.generated.kitti_scenes import calibration

SIZE = (200, 60)
CAR = "Car 0.00 0 -1.55 90.00 20.00 130.00 48.00 1.50 1.60 3.90 0.60 1.25 8.00 -1.47"


def kitti_frames(root: Path, labels: Sequence[str | None], size: tuple[int, int] = SIZE) -> Path:
    """Write a frame for each text of labels and a split ``train`` of all; a frame of None has no label file."""
    for part in ("image_2", "calib", "label_2"):
        (root / "training" / part).mkdir(parents=True, exist_ok=True)
    (root / "ImageSets").mkdir(exist_ok=True)
    numbers = " ".join(f"{value:.12e}" for value in calibration(size).ravel())
    names = [f"{number:06d}" for number in range(len(labels))]
    for name, text in zip(names, labels, strict=True):
        picture = np.random.Generator(np.random.PCG64(int(name))).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(picture).save(root / "training/image_2" / f"{name}.png")
        (root / "training/calib" / f"{name}.txt").write_text(f"P2: {numbers}\n", encoding="utf-8")
        if text is not None:
            (root / "training/label_2" / f"{name}.txt").write_text(text, encoding="utf-8")
    (root / "ImageSets/train.txt").write_text("\n".join(names), encoding="utf-8")
    return root
