"""The quickstart's config, other small trainings, and their drawings (``mmrepro quickstart vit_comer``)."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, init_default_scope
from pycocotools import mask as run_lengths

from mm_vit_comer.comparison import Objects, draw_labels, draw_objects
from mm_vit_comer.inferencer import ViTCoMerDetInferencer, ViTCoMerSegInferencer
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.quickstart import SmallTraining
from mmrepro.reproduction.plots import loss_curves

CONFIG = "vit-comer_c64_upernet_1xb4-400_shapes"
NOTE = (
    "A small network, trained for minutes on generated pictures of discs, squares and triangles. mIoU over the ground "
    "and the three shapes, in per cent; the paper's networks begin with public ViT weights and are trained for days "
    "on photographs."
)
OTHERS = {
    "vit-comer_c64_upernet_1xb4-300_camvid-160x160": SmallTraining(
        "A small network from random weights, trained for minutes on CamVid's road scenes; void is left out. mIoU over "
        "the classes that the validation pictures have, in per cent. These pictures also chose the best weights, and "
        "a part of CamVid says little of the whole.",
        data=("camvid",),
    ),
    "mask-rcnn_vit-comer-c64_1xb4_shapes": SmallTraining(
        "A small Mask R-CNN from random weights, trained for minutes on generated pictures of discs, squares and "
        "triangles, with boxes and masks. AP as COCO computes it, from 0 to 1; a guess's mask is its box.",
        baseline="boxes at common places, without looking at the picture",
    ),
}
DRAWN = 3  # pictures
LEAST_SCORE = 0.3  # of an object that is drawn


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set: the picture, what is annotated and what is predicted.

    For the first, what the interactions do: feature maps without and with them, tokens before and after them, and
    where their attention looks. And the losses.

    Args:
        config: the config that was trained, of a segmentor or of a detector with masks.
        checkpoint: its best weights, in the folder of the training.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config, out_dir = Config.fromfile(config), Path(out_dir)
    init_default_scope(config.default_scope)
    test = DATASETS.build(config.test_dataloader.dataset)
    detects = config.default_scope == "mmdet"
    inferencer = (ViTCoMerDetInferencer if detects else ViTCoMerSegInferencer)(config, str(checkpoint), device="cpu")
    compare = _compare_objects if detects else _compare_labels
    files = [
        compare(inferencer, test, number, out_dir / f"picture_annotated_predicted_{number + 1}.png")
        for number in range(min(DRAWN, len(test)))
    ]
    _, explained = inferencer.explain(test.get_data_info(0)["img_path"], out_dir)
    files += explained
    logs = [("this run", sorted(Path(checkpoint).parent.glob("*/vis_data/scalars.json")))]
    if curves := loss_curves(logs, config.default_hooks.checkpoint.save_best):
        files.append(out_dir / "convergence.png")
        write_atomically(curves, files[-1])
    return files


def _compare_labels(inferencer: ViTCoMerSegInferencer, test: BaseDataset, number: int, path: Path) -> Path:
    info, meta = test.get_data_info(number), inferencer.model.dataset_meta
    (labels,) = inferencer(info["img_path"])["predictions"]
    truth = test[number]["data_samples"].gt_sem_seg.data[0].numpy()  # with the data set's label map
    picture = mmcv.imread(info["img_path"])[..., ::-1]
    return draw_labels(picture, truth, labels, meta["classes"], meta["palette"], path)


def _compare_objects(inferencer: ViTCoMerDetInferencer, test: BaseDataset, number: int, path: Path) -> Path:
    info, meta = test.get_data_info(number), inferencer.model.dataset_meta
    picture = mmcv.imread(info["img_path"])[..., ::-1]
    height, width = picture.shape[:2]
    outlines = [run_lengths.frPyObjects(one["mask"], height, width) for one in info["instances"]]
    truth = Objects(
        np.array([one["bbox"] for one in info["instances"]]).reshape(-1, 4),
        np.array([one["bbox_label"] for one in info["instances"]], int),
        _masks([run_lengths.merge(parts) for parts in outlines], height, width),
    )
    (found,) = inferencer(info["img_path"])["predictions"]
    sure = np.array(found["scores"]) >= LEAST_SCORE
    predicted = Objects(
        np.array(found["bboxes"]).reshape(-1, 4)[sure],
        np.array(found["labels"], int)[sure],
        _masks(found["masks"], height, width)[sure],
        np.array(found["scores"])[sure],
    )
    return draw_objects(picture, truth, predicted, meta["classes"], meta["palette"], path)


def _masks(encoded: list[dict], height: int, width: int) -> np.ndarray:
    """Return ``(N, H, W)`` bool of run lengths."""
    return np.array([run_lengths.decode(one) for one in encoded], bool).reshape(-1, height, width)
