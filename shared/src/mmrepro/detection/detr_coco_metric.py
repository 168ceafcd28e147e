"""COCO's twelve numbers as the official code of DETR and its successors computes them, for boxes and masks.

By category ids, on every image of the annotation file, with 1, 10 and 100 detections per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

from mmrepro.datasets.coco_file import AnnotationError, CocoFile, read_coco
from mmrepro.detection.class_space import ClassSpace, Labels, class_space

Measure = Literal["bbox", "segm"]
NAMES = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
RECALLS = ("AR@{0}", "AR@{1}", "AR@{2}", "AR_s@{2}", "AR_m@{2}", "AR_l@{2}")


@METRICS.register_module()
class DetrCocoMetric(CocoMetric):
    """AP and AR of boxes, and of masks if asked for, on every image of an annotation file.

    Not mmdet's ``CocoMetric``: its labels are places in the file's list of categories, it evaluates AP50 and AP75 with
    1000 detections and rounds to three digits. Labels that no category has are left out, as COCO's tool does.

    Args:
        ann_file: the annotation file.
        labels: how the detector's labels are counted, ``raw`` or ``contiguous``; as ``DetrCocoDataset`` says if None,
            and raw for data sets that do not say it.
        metric: ``bbox``, ``segm`` or both. The recall of masks stands under ``segm_AR@1`` and so on.
        proposal_nums: three numbers of detections per image, ascending; with the last AP is computed.
        classwise: also give ``bbox_mAP/<class>`` (and ``segm_mAP/<class>``) for every class.
        iou_thrs, format_only, outfile_prefix, backend_args, collect_device, prefix: as in ``CocoMetric``.

    Raises:
        AnnotationError: the annotation file cannot be used, or masks are evaluated and it has none.
        ValueError: the data set's labels or classes are not those of the file, ``metric`` is another measure, or
            ``proposal_nums`` are no such numbers; where masks are evaluated, the detector gives none.
    """

    def __init__(
        self,
        ann_file: str,
        labels: Labels | None = None,
        proposal_nums: Sequence[int] = (1, 10, 100),
        classwise: bool = False,
        *,
        metric: Measure | Sequence[Measure] = "bbox",
        iou_thrs: Sequence[float] | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        if len(proposal_nums) != 3 or list(proposal_nums) != sorted({*proposal_nums}):
            raise ValueError(f"proposal_nums are three ascending numbers, got {tuple(proposal_nums)}")
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if not metrics or not set(metrics) <= {"bbox", "segm"}:
            raise ValueError(f"metric is 'bbox', 'segm' or both, got {metric!r}")
        super().__init__(
            ann_file=None,
            metric=metrics,
            proposal_nums=proposal_nums,
            classwise=classwise,
            iou_thrs=iou_thrs,
            format_only=format_only,
            outfile_prefix=outfile_prefix,
            backend_args=backend_args,
            collect_device=collect_device,
            prefix=prefix,
        )
        file = self.read(ann_file)
        if "segm" in metrics:
            _require_masks(file)
        self._coco_api = evaluated(file)
        self.img_ids = [image["id"] for image in file.images]
        self.categories, self.ann_file, self.labels = file.categories, ann_file, labels
        self._place_of: dict[int, int] = {}  # of a label among the evaluated categories

    def read(self, ann_file: str) -> CocoFile:
        """Read and check the annotations; polygons need the pictures' sizes."""
        return read_coco(ann_file, self.backend_args, pictures="segm" in self.metrics)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Take the detections of a batch; mmdet's part wants a category's place in ``cat_ids`` for its label."""
        if self.cat_ids is None:  # the data set's classes are known from the first batch on
            space = self._class_space(self.dataset_meta or {})
            self.cat_ids = sorted(space.label_of)
            self._place_of = {space.label_of[category]: place for place, category in enumerate(self.cat_ids)}
        super().process(data_batch, data_samples)
        for _, found in self.results[-len(data_samples) :]:
            used = np.isin(found["labels"], list(self._place_of))
            for name in ("bboxes", "scores", "labels"):
                found[name] = found[name][used]
            if "segm" in self.metrics:
                if "masks" not in found:
                    raise ValueError(
                        "masks are evaluated, but the detector gives none. Fix: metric='bbox', or a detector with masks"
                    )
                found["masks"] = [mask for mask, is_used in zip(found["masks"], used, strict=True) if is_used]
            found["labels"] = np.array([self._place_of[label] for label in found["labels"].tolist()], int)

    def _class_space(self, told: Mapping) -> ClassSpace:
        """Return the labels of the file's categories; what the data set tells of itself must agree."""
        labels, classes = told.get("labels"), told.get("classes")
        if None not in (labels, self.labels) and labels != self.labels:
            raise ValueError(
                f"{self.ann_file} is evaluated with labels={self.labels!r}, but the data set has {labels!r}. "
                "Fix: leave labels of the metric out, and set that of the data set to the detector's"
            )
        space = class_space(self.categories, self.labels or labels or "raw", classes, self.ann_file)
        if classes is not None and space.names != tuple(classes):
            raise ValueError(
                f"{self.ann_file}: the data set has {len(classes)} classes, {_first(classes)}, but with "
                f"labels={self.labels or labels or 'raw'!r} the file's are {len(space.names)}, {_first(space.names)}. "
                "Fix: set labels of the metric to 'raw' or 'contiguous', whichever the data set's are"
            )
        return space

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``bbox_mAP`` and so on, and ``AR@1`` and so on; -1 where there is no such object."""
        if self.format_only:
            return super().compute_metrics(results)
        if self.outfile_prefix is not None:
            self.results2json([found for _, found in results], self.outfile_prefix)
        return {
            name: value
            for measure in self.metrics
            for name, value in self._measured(measure, [found for _, found in results]).items()
        }

    def _measured(self, measure: Measure, results: Sequence[dict]) -> dict[str, float]:
        """Return the numbers of boxes or of masks."""
        evaluation = COCOeval(self._coco_api, self._detections(measure, results), measure)
        evaluation.params.catIds = self.cat_ids
        evaluation.params.imgIds = self.img_ids
        evaluation.params.maxDets = self.proposal_nums
        evaluation.params.iouThrs = self.iou_thrs
        evaluation.evaluate()
        evaluation.accumulate()
        found = self._summary(measure, evaluation.eval)
        logger = MMLogger.get_current_instance()
        logger.info(f"{measure}_mAP_copypaste: " + " ".join(f"{found[f'{measure}_{name}']:.3f}" for name in NAMES))
        if self.classwise:
            name_of = {category["id"]: category["name"] for category in self.categories}
            for place, category in enumerate(self.cat_ids):
                found[f"{measure}_mAP/{name_of[category]}"] = _mean(evaluation.eval["precision"][:, :, place, 0, -1])
        return found

    def _summary(self, measure: Measure, found: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the twelve numbers.

        Not the tool's ``summarize``: whatever the numbers of detections, it computes the first AP with 100.

        Args:
            measure: what they are of.
            found: ``precision`` (thresholds, recalls, classes, sizes, numbers of detections), and ``recall`` without
                the second axis.
        """
        precision, recall = found["precision"][..., -1], found["recall"]
        values = [precision[..., 0], *(precision[np.isclose(self.iou_thrs, one)][..., 0] for one in (0.5, 0.75))]
        values += [precision[..., size] for size in (1, 2, 3)]
        values += [recall[:, :, 0, number] for number in range(3)] + [recall[:, :, size, -1] for size in (1, 2, 3)]
        of = "" if measure == "bbox" else f"{measure}_"
        names = [f"{measure}_{name}" for name in NAMES] + [
            f"{of}{name.format(*self.proposal_nums)}" for name in RECALLS
        ]
        return dict(zip(names, map(_mean, values), strict=True))

    def _detections(self, measure: Measure, results: Sequence[dict]) -> COCO:
        """Return all detections as COCO's tool takes them; it cannot load none by itself.

        A detection has its mask alone where masks are evaluated: by a box beside it the tool would tell its size.
        """
        listed = [
            dict(image_id=result["img_id"], category_id=self.cat_ids[label], score=float(score))
            | (dict(bbox=self.xyxy2xywh(shape)) if measure == "bbox" else dict(segmentation=shape))
            for result in results
            for shape, score, label in zip(
                result["bboxes" if measure == "bbox" else "masks"], result["scores"], result["labels"], strict=True
            )
        ]
        if listed:
            return self._coco_api.loadRes(listed)
        none = COCO()
        none.dataset = dict(self._coco_api.dataset, annotations=[])
        none.createIndex()
        return none


def _mean(values: np.ndarray) -> float:
    """Return the mean of what exists; -1 if nothing does."""
    existing = values[values > -1]
    return float(existing.mean()) if existing.size else -1.0


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:3]))}{', ...' if len(names) > 3 else ''}"


def _require_masks(file: CocoFile) -> None:
    """Stop if a file has annotations, crowds included, without masks, which COCO's tool needs."""
    without = [one for ones in file.annotations.values() for one in ones if not one.get("segmentation")]
    if without:
        raise AnnotationError(
            f"{file.path}: {len(without)} objects have no segmentation (annotation {without[0].get('id', '')} of image "
            f"{without[0]['image_id']} is the first), but masks are evaluated. Fix: metric='bbox', or give annotations "
            "with masks"
        )


def evaluated(file: CocoFile) -> COCO:
    """Return a file as COCO's tool takes it.

    Areas and crowd flags that are missing are those of plain boxes. Annotations are numbered anew, from 1: the tool
    counts detections of an annotation with id 0 as wrong.
    """
    listed = [annotation for annotations in file.annotations.values() for annotation in annotations]
    coco = COCO()
    coco.dataset = dict(
        images=file.images,
        categories=file.categories,
        annotations=[
            dict(area=annotation["bbox"][2] * annotation["bbox"][3], iscrowd=0) | annotation | dict(id=number)
            for number, annotation in enumerate(listed, start=1)
        ],
    )
    coco.createIndex()
    return coco
