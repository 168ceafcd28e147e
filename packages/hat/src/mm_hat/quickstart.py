"""The quickstart's config, test set and drawings (``mmrepro quickstart hat``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import ConcatDataset

from mm_hat.datasets import SRBenchmarkSets
from mm_hat.inferencer import HATInferencer
from mm_hat.visualization import draw_crops

CONFIG = "residual-hat_c36_1xb8-600_textures-x2"
NOTE = (
    "A small network, trained for minutes on generated textures and on photographs that scikit-image ships. It is "
    "tested on textures that it has not seen and, where it is at hand ($MMREPRO_DATA_ROOT), on Set5 at x2. PSNR in dB "
    "and SSIM on the luma without a border of two pixels; the paper's networks are larger and trained for days."
)
TEXTURES = "textures"
DRAWN_TEXTURES = 2  # they look alike; of the test sets every picture is drawn


@DATASETS.register_module()
class TexturesAndBenchmarks(ConcatDataset):
    """Generated textures, and after them the test sets that are there; each sample's meta information says its ``set``.

    Args:
        textures: the config of the textures' data set.
        names: of test sets, see :class:`SRBenchmarkSets`; those that are not there are left out.
        scale: of the test sets.
    """

    def __init__(self, textures: dict, names: list[str], scale: int) -> None:
        parts = [DATASETS.build(textures)]
        try:
            parts.append(SRBenchmarkSets(names, scale))
        except FileNotFoundError:
            names = []
        self.metainfo = {"sets": [TEXTURES, *names]}
        self.textures = len(parts[0])
        super().__init__(parts)

    def __getitem__(self, index: int) -> dict:
        sample = super().__getitem__(index)
        if index < self.textures:
            sample["data_samples"].set_metainfo({"set": TEXTURES})
        return sample


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set: low resolution, bicubic interpolation, ours and the truth side by side.

    Args:
        config: the config that was trained.
        checkpoint: its best weights.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config = Config.fromfile(config)
    test = DATASETS.build(config.test_dataloader.dataset)
    inferencer = HATInferencer(config, checkpoint, device="cpu")
    drawn: list[Path] = []
    for index in (*range(min(DRAWN_TEXTURES, test.textures)), *range(test.textures, len(test))):
        sample = test[index]
        low, about = _levels(sample["inputs"]) / np.float32(255), sample["data_samples"]
        _, restored = inferencer.restore(low)
        path = Path(out_dir) / f"{about.set}_{about.key}.png"
        drawn.append(draw_crops(low, restored, path, _levels(about.gt_img) / np.float32(255)))
    return drawn


def _levels(image: Tensor) -> np.ndarray:
    """Return (3, H, W) as (H, W, 3)."""
    return image.permute(1, 2, 0).numpy()
