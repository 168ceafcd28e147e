"""The quickstart's config and its drawings (``mmrepro quickstart monodino_detr``)."""

from __future__ import annotations

from pathlib import Path

import mmcv
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mm_monodino_detr.datasets.kitti_calibration import read_calibration
from mm_monodino_detr.evaluation.kitti_ap import LOOSE, KittiEvaluation
from mm_monodino_detr.evaluation.kitti_files import parse_objects, result_text
from mm_monodino_detr.evaluation.pr_curves import draw_curves
from mm_monodino_detr.inferencer import MonoDINODETRInferencer, reach_of
from mm_monodino_detr.visualization import Objects3D, draw_scene
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.reproduction.plots import loss_curves

CONFIG = "monodino-detr_vit-c48_1xb4_scenes"
NOTE = (
    "A small MonoDINO-DETR from random weights, trained for minutes on generated streets: coloured cuboids up to 12 m "
    "ahead of a camera like KITTI's, in KITTI's own files. AP of cars in per cent as KITTI computes it, but with "
    "an overlap of 0.5 instead of 0.7 in 3D and from above. The paper's networks begin with a frozen ViT and depth "
    "head that have seen millions of photographs, and are trained for 195 epochs on real streets."
)
DRAWN = 3  # pictures
THRESHOLD = 0.5  # of drawn detections


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw pictures of the test set, annotated and predicted, the first one's depth, precision over recall, and losses.

    Args:
        config: the config that was trained.
        checkpoint: its best weights, in the folder of the training.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config, out_dir = Config.fromfile(config), Path(out_dir)
    init_default_scope(config.default_scope)
    test = DATASETS.build({**config.test_dataloader.dataset, "pipeline": []})
    frames = [test.get_data_info(number) for number in range(len(test))]
    inferencer = MonoDINODETRInferencer(config, str(checkpoint), device="cpu")
    classes = inferencer.model.dataset_meta["classes"]
    found = inferencer(
        [frame["img_path"] for frame in frames], [frame["cam2img"] for frame in frames], return_datasamples=True
    )["predictions"]
    files = []
    for number, (frame, sample) in enumerate(zip(frames[:DRAWN], found[:DRAWN], strict=True), 1):
        objects = {
            "annotated": Objects3D.annotated(frame["objects"]),
            "predicted": Objects3D.predicted(sample, classes),
        }
        files.append(
            draw_scene(
                mmcv.imread(frame["img_path"])[..., ::-1],
                read_calibration(frame["calib_path"]),
                objects,
                out_dir / f"annotated_predicted_{number}.png",
                THRESHOLD,
                reach_of(config.model.depth_predictor.depth_max),
            )
        )
    first = frames[0]
    files += inferencer.explain(first["img_path"], first["calib_path"], out_dir, drawings=("depth",)).files
    texts = [result_text(sample.pred_instances, classes) for sample in found]
    results = [parse_objects(text, frame["img_id"], True) for text, frame in zip(texts, frames, strict=True)]
    evaluation = KittiEvaluation([frame["objects"] for frame in frames], results)
    evaluated = config.test_evaluator[0].evaluated
    files.append(draw_curves([evaluation.curves(name) for name in evaluated], out_dir / "precision_recall.png", LOOSE))
    logs = [("this run", sorted(Path(checkpoint).parent.glob("*/vis_data/scalars.json")))]
    if curves := loss_curves(logs, config.default_hooks.checkpoint.save_best):
        files.append(out_dir / "convergence.png")
        write_atomically(curves, files[-1])
    return files
