"""The quickstart's config and drawings (``mmrepro quickstart relation_detr``)."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mm_relation_detr.inferencer import RelationDETRInferencer
from mm_relation_detr.visualization import draw_detections
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.reproduction.plots import loss_curves

CONFIG = "relation-detr_r18_1xb4-12e_shapes"
NOTE = (
    "A small detector, trained for minutes on generated pictures of discs, squares and triangles. AP as COCO computes "
    "it, from 0 to 1; the paper's networks are larger, and trained for days on photographs."
)
DRAWN = 3  # pictures


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set with their detections, for the first how the decoder came to them, and the losses.

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
    inferencer = RelationDETRInferencer(config, str(checkpoint), device="cpu")
    classes = inferencer.model.dataset_meta["classes"]
    files = []
    for number in range(min(DRAWN, len(test))):
        info = test.get_data_info(number)
        (found,) = inferencer(info["img_path"])["predictions"]
        files.append(
            draw_detections(
                mmcv.imread(info["img_path"])[..., ::-1],
                np.reshape(found["bboxes"], (-1, 4)),
                np.array(found["scores"]),
                np.array(found["labels"]),
                Path(out_dir) / f"detections_{number + 1}.png",
                classes=classes,
                truth=np.array([one["bbox"] for one in info["instances"]]),
            )
        )
    how = ("relations", "heads", "refinement")
    files += inferencer.explain(test.get_data_info(0)["img_path"], out_dir, drawings=how).files
    logs = [("quickstart", sorted(Path(checkpoint).parent.glob("*/vis_data/scalars.json")))]
    if curves := loss_curves(logs, "coco/bbox_mAP"):
        files.append(Path(out_dir) / "convergence.png")
        write_atomically(curves, files[-1])
    return files
