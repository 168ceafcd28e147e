"""The quickstart's config and drawings (``mmrepro quickstart hat``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.config import Config

from mm_hat.datasets.generated import texture
from mm_hat.datasets.imresize import imresize
from mm_hat.inferencer import HATInferencer
from mm_hat.visualization import draw_crops

CONFIG = "residual-hat_c36_1xb8-600_textures-x2"
SEEDS = (2000, 2001)  # of textures in the test set
SIDE = 160


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw two test pictures: low resolution, bicubic interpolation, ours and the truth side by side.

    Args:
        config: the config that was trained.
        checkpoint: its best weights.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    inferencer = HATInferencer(Config.fromfile(config), checkpoint, device="cpu")
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    drawn = []
    for seed in SEEDS:
        truth = texture(SIDE, seed) / np.float32(255)
        low = np.clip(imresize(truth, 0.5), 0, 1)
        _, restored = inferencer.restore(low)
        drawn.append(draw_crops(low, restored, out_dir / f"texture_{seed}.png", truth))
    return drawn
