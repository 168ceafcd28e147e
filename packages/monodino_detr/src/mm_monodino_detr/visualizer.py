"""mmdet's visualizer for 3D detections: what ``mim test --show-dir``, hooks and inferencers draw with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer

from mm_monodino_detr.datasets.kitti_calibration import KittiCalibration, checked_calibration
from mm_monodino_detr.evaluation.kitti_files import read_objects
from mm_monodino_detr.visualization import REACH, Objects3D, rendered, scene


@VISUALIZERS.register_module()
class Mono3DLocalVisualizer(DetLocalVisualizer):
    """Draws 2D boxes, cuboids and a view from above, annotated and predicted; see :func:`visualization.scene`.

    Annotations are those of the sample's label file, whole and in the original picture's pixels; without one only what
    is predicted is drawn. Without a camera in the metainfo only 2D boxes are.

    Args:
        name: of the instance.
        reach: metres that views from above show at most, and where the colours of depth end.
        **kwargs: of mmdet's visualizer; colours and widths of lines have no effect.
    """

    def __init__(self, name: str = "visualizer", reach: float = REACH, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.reach = reach

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a sample and write the drawing, or give it to the backends.

        Args:
            name: of the drawing, for the backends.
            image: the picture, RGB ``(H, W, 3)``.
            data_sample: with ``pred_instances``; ``cam2img`` and ``label_path`` in the metainfo where they are known.
            draw_gt: draw annotations.
            draw_pred: draw predictions.
            show: in a window, too.
            wait_time: of the window, in seconds.
            out_file: the file to write; None for the backends.
            pred_score_thr: of the predictions.
            step: for the backends.

        Raises:
            KittiFileError: the label file cannot be used.
            CalibrationError: the camera is none.
        """
        image = image.clip(0, 255).astype(np.uint8)
        classes = (self.dataset_meta or {}).get("classes")
        objects = {}
        if draw_gt and data_sample is not None and data_sample.get("label_path"):
            objects["annotated"] = Objects3D.annotated(read_objects(data_sample.label_path, classes=None))
        if draw_pred and data_sample is not None and "pred_instances" in data_sample:
            objects["predicted"] = Objects3D.predicted(data_sample, classes)
        drawn = image
        if objects:
            drawn = rendered(scene(image, _camera(data_sample, name), objects, pred_score_thr, self.reach))
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            Path(out_file).parent.mkdir(parents=True, exist_ok=True)
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)


def _camera(sample: DetDataSample, name: str) -> KittiCalibration | None:
    """Return a sample's camera; None where it has none."""
    if "cam2img" not in sample:
        return None
    return checked_calibration(np.array(sample.cam2img), f"cam2img of {name}")
