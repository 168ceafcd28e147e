"""3D detections in files, folders and arrays, drawn, as tables and as KITTI's result files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import INFERENCERS, init_default_scope
from torch import nn

from mm_monodino_detr.cameras import Camera, cameras_of
from mm_monodino_detr.checkpoint import class_names_of, require_same_model, weights_of
from mm_monodino_detr.datasets.kitti_calibration import checked_calibration
from mm_monodino_detr.datasets.kitti_object import Kitti3DDataset
from mm_monodino_detr.evaluation.kitti_files import result_text, write_results
from mm_monodino_detr.models.dinov2_vit import PATCH
from mm_monodino_detr.visualization import REACH, Objects3D, draw_depth_maps, draw_scene
from mmrepro.checkpoint import CheckpointMismatchError, differences
from mmrepro.detection.detr_coco import palette_of
from mmrepro.detection.inferencer import PictureDetInferencer
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.engine.errors import UserError
from mmrepro.paper_config import read_config
from mmrepro.pictures import Picture, pixels, single, stem_of
from mmrepro.safe_loading import source_of

DRAWINGS = ("detections", "depth")
RESULTS = "kitti"
"""Folder of KITTI's result files below ``out_dir``."""
_DEPTH_MAX = 60.0  # metres that REACH is meant for


@dataclass(frozen=True)
class Explanation:
    """A picture's detections and the depth that they came from.

    Attributes:
        prediction: as one entry of ``predictions`` of :class:`MonoDINODETRInferencer`.
        relative_depth: relative inverse depth of the depth head, without unit, ``(h, w)``.
        weighted_depth: expected depth in metres, ``(h, w)``.
        files: the drawings.
    """

    prediction: dict
    relative_depth: np.ndarray
    weighted_depth: np.ndarray
    files: list[Path]


@INFERENCERS.register_module()
class MonoDINODETRInferencer(PictureDetInferencer):
    """mmdet's inferencer with cameras, which loads every weight that predicts or none, ours or official.

    Example:
        >>> inferencer = MonoDINODETRInferencer("monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-car", "best.pth")
        >>> found = inferencer("image_2/000042.png", camera="calib/000042.txt", out_dir="found")["predictions"][0]
        >>> sorted(found)
        ['alphas', 'bboxes', 'bboxes_3d', 'labels', 'scores']

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``.
        weights: a checkpoint, ours or an official one, or safetensors; a path or a URL.
        device: such as ``cuda:0``; None for what is there.
        classes: a name for each class score that predicts, for files that do not carry them; None for those of the
            file or of the config's test data.
        show_progress: draw a progress bar.
        threshold: detections with a lower class score are dropped; None for the config's, officially 0.2.
        exact_affine_decode: bring coordinates back to the picture the way that they came, where officially they are
            stretched; None for the config's.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: the config is another package's, there are no weights, or as many classes as names do not fit.
        CheckpointMismatchError: the checkpoint is another detector's, with the settings that differ; holds the frozen
            parts alone; or a key or a shape is not the model's.
    """

    preprocess_kwargs: ClassVar[set] = {"camera"}

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        classes: Sequence[str] | None = None,
        show_progress: bool = False,
        threshold: float | None = None,
        exact_affine_decode: bool | None = None,
    ) -> None:
        if weights is None:
            raise UserError("a detector without weights finds nothing. Fix: give weights, a checkpoint's path or URL")
        if isinstance(classes, str):
            raise UserError(f"classes={classes!r} is one text. Fix: classes=({classes!r},) with a name for each score")
        if threshold is not None and not 0 <= threshold <= 1:
            raise UserError(f"threshold={threshold} is not in [0, 1], as class scores are")
        self.classes = classes
        config = read_config("monodino_detr", model)
        changes = dict(score_thr=threshold, exact_affine_decode=exact_affine_decode)
        config.merge_from_dict(
            {f"model.bbox_head.test_cfg.{name}": value for name, value in changes.items() if value is not None}
        )
        reach = reach_of(config.model.depth_predictor.get("depth_max", _DEPTH_MAX))
        if "visualizer" not in config or config.visualizer.type == "Mono3DLocalVisualizer":
            config.visualizer = dict(type="Mono3DLocalVisualizer", reach=reach)
        for part in ("backbone", "depth_head"):
            config.model[part].init_cfg = None  # the checkpoint has everything
        init_default_scope(config.get("default_scope", "mmdet"))
        super().__init__(config, str(weights), device=device, show_progress=show_progress)

    def __call__(
        self,
        inputs: Picture | Iterable[Picture],
        camera: Camera | None = None,
        batch_size: int = 1,
        out_dir: str | Path = "",
        **options: Any,
    ) -> dict:
        """Return the detections of pictures, by descending class score, and write drawings, tables and result files.

        Args:
            inputs: a file, a folder, a URL, an array ``(H, W, 3)`` in uint8, blue first, or a list of these.
            camera: of all pictures: a calibration file in KITTI's format, a 3 x 4 projection, a 3 x 3 intrinsic
                matrix, or a focal length in pixels. Of each: a folder of calibration files named like the pictures, or
                a list.
            batch_size: how many pictures go through the network at once.
            out_dir: folder of the drawings, in ``vis``, of KITTI's result files, in ``kitti``, and with
                ``no_save_pred=False`` of tables, in ``preds``. Results of arrays have numbers as names. Empty for none.
            options: mmdet's, such as ``pred_score_thr=0.3`` for the drawings, or ``return_vis=True``.

        Returns:
            ``predictions``, for each picture ``bboxes`` as (x1, y1, x2, y2) in its pixels, ``bboxes_3d`` as (h, w, l,
            x, y, z, rotation_y) in metres and radians, where x, y and z are the middle of the lower face in the
            camera's frame (right, down, ahead), ``alphas`` in radians, ``scores``, and ``labels``, which number
            ``model.dataset_meta["classes"]``; and ``visualization``, drawings if asked for. A score is the class score
            times the certainty of the depth, and may exceed 1.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: something is no picture, or cannot be read; there is no camera, or not one for each picture.
            CalibrationError: a calibration file or a matrix is none.
        """
        return super().__call__(inputs, batch_size, out_dir=out_dir, camera=camera, **options)

    def preprocess(
        self, inputs: Sequence[str | np.ndarray], batch_size: int = 1, camera: Camera | None = None
    ) -> Iterator[tuple]:
        """Yield batches of pictures and what the model takes.

        Args:
            inputs: files and arrays.
            batch_size: how many at once.
            camera: as when called.
        """
        cameras = cameras_of(inputs, camera)  # all of them, before the first picture is computed
        together = [
            {("img_path" if isinstance(source, str) else "img"): source, "cam2img": each.p2.tolist()}
            for source, each in zip(inputs, cameras, strict=True)
        ]
        yield from super().preprocess(together, batch_size)

    def postprocess(
        self,
        preds: Sequence[DetDataSample],
        visualization: list[np.ndarray] | None = None,
        pred_out_dir: str = "",
        **options: Any,
    ) -> dict:
        """Write KITTI's result files where there is a folder, and do as mmdet does.

        Args:
            preds: detections.
            visualization: drawings.
            pred_out_dir: the folder; empty for none.
            options: mmdet's.
        """
        if pred_out_dir:
            classes = self.model.dataset_meta["classes"]
            texts = {stem_of(sample.img_path): result_text(sample.pred_instances, classes) for sample in preds}
            write_results(texts, Path(pred_out_dir) / RESULTS)
        return super().postprocess(preds, visualization, pred_out_dir=pred_out_dir, **options)

    def pred2dict(self, data_sample: DetDataSample, pred_out_dir: str = "") -> dict:
        """Return a picture's detections as lists, and write them as JSON where there is a folder.

        Args:
            data_sample: of the picture.
            pred_out_dir: the folder above ``preds``; empty for none.
        """
        found = data_sample.pred_instances
        table = {name: found[name].tolist() for name in ("labels", "scores", "bboxes", "bboxes_3d", "alphas")}
        if pred_out_dir:
            path = Path(pred_out_dir) / "preds" / f"{stem_of(data_sample.img_path)}.json"
            write_atomically(json.dumps(table).encode(), path)
        return table

    @torch.no_grad()
    def explain(
        self,
        picture: Picture,
        camera: Camera | None,
        out_dir: str | Path,
        threshold: float = 0.2,
        drawings: Sequence[str] = DRAWINGS,
    ) -> Explanation:
        """Predict one picture, and draw its detections and the depth that they came from.

        Args:
            picture: a file, or an array (H, W, 3) in uint8, blue first.
            camera: its camera, as when called.
            out_dir: folder of the drawings, which begin with the file's name: ``_detections.png``, boxes in the picture
                and from above; ``_depth.png``, the relative depth and that in metres.
            threshold: of the scores of the detections that are shown.
            drawings: which of the two are drawn.

        Raises:
            FileNotFoundError, UserError, CalibrationError: as when called, or there are several pictures.
            ValueError: there is no such drawing.
        """
        if unknown := [name for name in drawings if name not in DRAWINGS]:
            raise ValueError(f"no drawing {', '.join(map(repr, unknown))}: they are {', '.join(map(repr, DRAWINGS))}")
        source = single(picture)
        ((_, batch),) = self.preprocess([source], camera=camera)
        data = self.model.data_preprocessor(batch, False)
        features = self.model.extract_feat(data["inputs"])
        decoded = self.model.decode(features)
        (sample,) = data["data_samples"]
        (sample.pred_instances,) = self.model.bbox_head.predict(decoded, [sample])
        relative, weighted = (
            one.float().cpu().numpy() for one in (features.relative_depth[0, 0], decoded.depth.weighted[0])
        )
        rgb, stem = pixels(source)[..., ::-1], stem_of(source) if isinstance(source, str) else "picture"
        calibration = checked_calibration(np.array(sample.cam2img), "the camera")
        objects = {"predicted": Objects3D.predicted(sample, self.model.dataset_meta["classes"])}
        reach = reach_of(self.model.depth_predictor.depth_max)
        draw = dict(
            detections=lambda path: draw_scene(rgb, calibration, objects, path, threshold, reach),
            depth=lambda path: draw_depth_maps(rgb, relative, weighted, _covered(sample), path),
        )
        files = [draw[name](Path(out_dir) / f"{stem}_{name}.png") for name in DRAWINGS if name in drawings]
        return Explanation(self.pred2dict(sample), relative, weighted, files)

    def _init_pipeline(self, cfg: Config) -> Compose:
        """Return the test pipeline without the annotations, which a picture alone does not have."""
        dataset = cfg.test_dataloader.dataset
        dataset.pipeline = [step for step in dataset.pipeline if step["type"] != "LoadKittiAnnotations3D"]
        return super()._init_pipeline(cfg)

    def _load_weights_to_model(self, model: nn.Module, checkpoint: Mapping[str, Any], cfg: Config) -> None:
        weights = weights_of(checkpoint)
        require_same_model(model, checkpoint, weights=weights)
        problems = differences(weights, model)
        if any(problems.values()):
            raise CheckpointMismatchError(source_of(checkpoint), problems)
        model.load_state_dict(weights)
        head = model.bbox_head
        outputs = head.num_classes if head.known_classes is None else head.known_classes
        classes = tuple(self.classes or class_names_of(checkpoint) or _classes_of(cfg))
        if len(classes) > outputs:
            raise UserError(
                f"there are {len(classes)} class names and {outputs} class scores that predict. Fix: classes=(...) "
                "with one name for each score"
            )
        classes = (*classes, *(f"class {label}" for label in range(len(classes), outputs)))
        model.dataset_meta = {"classes": classes, "palette": palette_of(classes)}


def reach_of(depth_max: float) -> float:
    """Return how many metres a view from above shows of a detector: 70 of the published ones, whose depth ends at 60.

    Args:
        depth_max: where its bins of depth end, in metres.
    """
    return 10.0 * math.ceil(round(REACH / _DEPTH_MAX * depth_max / 10, 6))


def _classes_of(config: Config) -> Sequence[str]:
    """Return the names of the classes of the config's test data."""
    return config.test_dataloader.dataset.get("metainfo", {}).get("classes", Kitti3DDataset.METAINFO["classes"])


def _covered(sample: DetDataSample) -> tuple[float, float, float, float]:
    """Return the part of the original picture that the network saw, with what it is padded by, in its pixels."""
    affine = np.asarray(sample.affine)
    height, width = (side + -side % PATCH for side in sample.img_shape)
    corners = (np.array([[0.0, 0.0], [width, height]]) - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T
    return tuple(corners.ravel().tolist())
