"""The quickstart's config, another small training, and their drawings (``mmrepro quickstart vidt``)."""

from __future__ import annotations

from pathlib import Path

import mmcv
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mm_vidt.inferencer import ViDTInferencer
from mm_vidt.visualization import Objects, draw_objects
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.quickstart import SmallTraining
from mmrepro.reproduction.plots import loss_curves

CONFIG = "vidt-plus_swin-c24_1xb4_shapes"
NOTE = (
    "A small ViDT+ from random weights, trained for minutes on generated pictures of discs, squares and triangles, "
    "with boxes and masks. AP as COCO computes it, from 0 to 1; the paper's networks begin with a body that has seen "
    "ImageNet and are trained for days on photographs."
)
OTHERS = {
    "vidt_swin-c24_1xb4_bccd": SmallTraining(
        "A small ViDT from random weights, trained for minutes on BCCD's photographs of blood cells with boxes. AP as "
        "COCO computes it, from 0 to 1; the paper's networks begin with a body that has seen ImageNet.",
        data=("bccd",),
        baseline="boxes at common places, without looking at the picture",
    ),
}
DRAWN = 3  # pictures


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set, annotated and predicted, how the first one's detections came about, and losses.

    Args:
        config: the config that was trained.
        checkpoint: its best weights, in the folder of the training.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config, out_dir = Config.fromfile(config), Path(out_dir)
    init_default_scope(config.default_scope)
    with_mask = config.model.bbox_head.get("with_vector", False)
    read = [dict(type="LoadAnnotations", with_bbox=True, with_mask=with_mask)]  # a test needs none, drawings do
    test = DATASETS.build({**config.test_dataloader.dataset, "pipeline": read})
    inferencer = ViDTInferencer(config, str(checkpoint), device="cpu")
    files = []
    for number in range(min(DRAWN, len(test))):
        info = test.get_data_info(number)
        picture = mmcv.imread(info["img_path"])[..., ::-1]
        (sample,) = inferencer(info["img_path"], return_datasamples=True)["predictions"]
        objects = {"annotated": annotated(info, picture.shape[:2]), "predicted": Objects.predicted(sample)}
        path = out_dir / f"annotated_predicted_{number + 1}.png"
        files.append(draw_objects(picture, objects, path, classes=inferencer.model.dataset_meta["classes"]))
    how = ("refinement", "attention", "coefficients")
    files += inferencer.explain(test.get_data_info(0)["img_path"], out_dir, drawings=how).files
    logs = [("this run", sorted(Path(checkpoint).parent.glob("*/vis_data/scalars.json")))]
    if curves := loss_curves(logs, config.default_hooks.checkpoint.save_best):
        files.append(out_dir / "convergence.png")
        write_atomically(curves, files[-1])
    return files


def annotated(info: dict, size: tuple[int, int]) -> Objects:
    """Return what is annotated in a picture.

    Args:
        info: the data set's entry of it.
        size: its height and width in pixels.
    """
    with_mask = any("mask" in one for one in info["instances"])
    loaded = LoadAnnotations(with_bbox=True, with_mask=with_mask)({**info, "ori_shape": size})
    masks = loaded["gt_masks"].masks.astype(bool) if with_mask else None
    return Objects(loaded["gt_bboxes"].numpy(), loaded["gt_bboxes_labels"], None, masks)
