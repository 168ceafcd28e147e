"""KITTI's average precisions during training and testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mm_monodino_detr.evaluation.ap_table import averages, official_text, short_text
from mm_monodino_detr.evaluation.kitti_ap import DIFFICULTIES, DISTANCES, ClassRules, KittiEvaluation
from mm_monodino_detr.evaluation.kitti_files import (
    KittiFileError,
    KittiObjects,
    parse_objects,
    read_objects,
    read_split,
    result_text,
    write_results,
)


@METRICS.register_module()
class KittiMetric3D(BaseMetric):
    """KITTI's average precisions of 3D boxes, bird's-eye views, 2D boxes and orientations, by difficulty.

    Keys are ``kitti/Car_AP3D_R40_moderate`` and the like (:func:`mm_monodino_detr.evaluation.ap_table.averages`).
    Predictions are rounded to the two decimals of a result file first, so the numbers are those of the files. Frames
    are matched by ``img_id``. ``CheckpointHook`` needs ``rule="greater"`` beside ``save_best``.

    Args:
        evaluated: classes with a table; None for those of the data set. KITTI's benchmark has rules of Car, Pedestrian
            and Cyclist alone; any other class, Van and Truck too, counts at the overlaps of a pedestrian.
        label_dir: folder of the label files; None for each sample's ``label_path``.
        split: file with names of frames; those that were not predicted count as frames without detections. None for
            the frames that were predicted.
        rules: by class, ``dict(neighbour=..., overlaps=((2D, BEV, 3D) strict, loose))``, where KITTI's do not fit.
        distances: add tables of three bands of distances.
        outfile_prefix: folder that the result files ``<frame>.txt`` are written to; None writes none.
        format_only: only write them, for frames without labels.
        **kwargs: of mmengine's ``BaseMetric``.

    Raises:
        ValueError: ``format_only`` comes without ``outfile_prefix``, or ``split`` without ``label_dir``.
    """

    default_prefix = "kitti"

    def __init__(
        self,
        evaluated: Sequence[str] | None = None,
        label_dir: str | None = None,
        split: str | None = None,
        rules: Mapping[str, Mapping[str, Any]] | None = None,
        distances: bool = False,
        outfile_prefix: str | None = None,
        format_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if format_only and outfile_prefix is None:
            raise ValueError("format_only=True writes nothing without a folder. Fix: set outfile_prefix")
        if split is not None and label_dir is None:
            raise ValueError("split names frames whose labels are not known. Fix: set label_dir")
        self.evaluated = None if evaluated is None else tuple(evaluated)
        self.label_dir = None if label_dir is None else Path(label_dir)
        self.split = split
        self.rules = {name: ClassRules(**one) for name, one in (rules or {}).items()}
        self.distances = distances
        self.outfile_prefix = outfile_prefix
        self.format_only = format_only

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels of predictions."""
        return tuple(self.dataset_meta["classes"])

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take the predictions of a batch as the text of result files.

        Args:
            data_batch: not looked at.
            data_samples: ``pred_instances`` with ``labels`` (N,), ``scores`` (N,), ``bboxes`` (N, 4) in pixels,
                ``bboxes_3d`` (N, 7) h, w, l, x, y, z, rotation_y and ``alphas`` (N,); ``img_id`` and ``label_path``.

        Raises:
            ValueError: a label is no class of the data set.
            KittiFileError: a prediction is not finite.
        """
        for sample in data_samples:
            frame = str(sample["img_id"])
            text = result_text(sample["pred_instances"], self.classes, f"predictions of {frame}")
            self.results.append((frame, str(sample.get("label_path") or ""), text))

    def compute_metrics(self, results: list[tuple[str, str, str]]) -> dict[str, float]:
        """Write the files, evaluate all frames and log the tables.

        Raises:
            ValueError: no frame was predicted, or two of different folders have one name.
            KittiFileError: a label is missing or broken.
        """
        if not results:
            raise ValueError("no frame was predicted: the data set is empty")
        texts = {frame: text for frame, _, text in results}
        paths: dict[str, str] = {}
        for frame, path, _ in results:
            if paths.setdefault(frame, path) != path:
                raise ValueError(
                    f"two frames have the name {frame}, of {paths[frame]} and of {path}. Fix: one data set for an "
                    "evaluation, or names that differ"
                )
        if self.outfile_prefix is not None:
            write_results(texts, self.outfile_prefix)
        logger = MMLogger.get_current_instance()
        if self.format_only:
            logger.info(f"{len(texts)} result files are in {self.outfile_prefix}")
            return {}
        frames = sorted(paths if self.split is None else read_split(self.split))
        evaluation = KittiEvaluation(
            [self._labels(frame, paths.get(frame, "")) for frame in frames],
            [parse_objects(texts.get(frame, ""), f"predictions of {frame}", True, None) for frame in frames],
            self.rules,
        )
        metrics: dict[str, float] = {}
        for levels in (DIFFICULTIES, DISTANCES) if self.distances else (DIFFICULTIES,):
            every = [evaluation.curves(name, levels) for name in self.evaluated or self.classes]
            for curves in every:
                metrics |= averages(curves)
            text = "\n".join(official_text(curves) for curves in every)
            logger.info(f"{len(frames)} frames\n{text}\n{short_text(every)}")
        return metrics

    def _labels(self, frame: str, path: str) -> KittiObjects:
        """Return the ground truth of a frame."""
        if self.label_dir is not None:
            path = str(self.label_dir / f"{frame}.txt")
        elif not path:
            raise KittiFileError(
                f"frame {frame} has no labels. Fix: label_dir=... of KittiMetric3D or the data set's labels, or "
                "format_only=True with outfile_prefix=... to write the predictions"
            )
        return read_objects(path, classes=None)  # the data set knows which names are none, and said so at the start
