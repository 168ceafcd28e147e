"""The quickstart's config and drawings (``mmrepro quickstart relation_detr``)."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mm_relation_detr.inferencer import RelationDETRInferencer

CONFIG = "relation-detr_r18_1xb4-12e_shapes"
BASELINE = "boxes at common places, without looking at the picture"
NOTE = (
    "A small detector, trained for minutes on generated pictures of discs, squares and triangles. AP as COCO computes "
    "it, from 0 to 1; the paper's networks are larger, and trained for days on photographs."
)
DRAWN = 3  # pictures


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set with their detections, and for the first how the decoder came to them.

    Args:
        config: the config that was trained.
        checkpoint: its best weights.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config = Config.fromfile(config)
    init_default_scope(config.default_scope)
    test = DATASETS.build(config.test_dataloader.dataset)
    pictures = [test.get_data_info(index)["img_path"] for index in range(min(DRAWN, len(test)))]
    inferencer = RelationDETRInferencer(config, str(checkpoint), device="cpu")
    inferencer(pictures, out_dir=str(out_dir), no_save_pred=True)
    explained = inferencer.explain(pictures[0], out_dir)
    return [*(Path(out_dir) / "vis" / Path(picture).name for picture in pictures), *explained.files]
