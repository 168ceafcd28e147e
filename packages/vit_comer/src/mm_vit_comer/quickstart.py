"""The quickstart's config and drawings (``mmrepro quickstart vit_comer``)."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from mm_vit_comer.inferencer import ViTCoMerSegInferencer
from mm_vit_comer.visualization import draw_segmentation
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.reproduction.plots import loss_curves

CONFIG = "vit-comer_c64_upernet_1xb4-400_shapes"
NOTE = (
    "A small network, trained for minutes on generated pictures of discs, squares and triangles. mIoU over the ground "
    "and the three shapes, in per cent; the paper's networks begin with public ViT weights and are trained for days "
    "on photographs."
)
DRAWN = 3  # pictures


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set with their labels, for the first what the interactions do, and the losses.

    Args:
        config: the config that was trained.
        checkpoint: its best weights, in the folder of the training.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config = Config.fromfile(config)
    init_default_scope(config.default_scope)
    test = DATASETS.build(config.test_dataloader.dataset)
    inferencer = ViTCoMerSegInferencer(config, str(checkpoint), device="cpu")
    meta = inferencer.model.dataset_meta
    files = []
    for number in range(min(DRAWN, len(test))):
        info = test.get_data_info(number)
        (labels,) = inferencer(info["img_path"])["predictions"]
        with Image.open(info["seg_map_path"]) as truth:
            files.append(
                draw_segmentation(
                    mmcv.imread(info["img_path"])[..., ::-1],
                    labels,
                    meta["classes"],
                    meta["palette"],
                    Path(out_dir) / f"picture_annotated_predicted_{number + 1}.png",
                    truth=np.asarray(truth),
                )
            )
    _, explained = inferencer.explain(test.get_data_info(0)["img_path"], out_dir)
    files += explained
    logs = [("quickstart", sorted(Path(checkpoint).parent.glob("*/vis_data/scalars.json")))]
    if curves := loss_curves(logs, "mIoU"):
        files.append(Path(out_dir) / "convergence.png")
        write_atomically(curves, files[-1])
    return files
