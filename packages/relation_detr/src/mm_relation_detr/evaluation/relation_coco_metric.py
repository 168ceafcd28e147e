"""COCO's twelve numbers as the official code computes them (xiuqhou/Relation-DETR @ b485955).

By category ids, on every image of the annotation file, with 1, 10 and 100 detections per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

from mm_relation_detr.class_space import ClassSpace, Labels, class_space
from mmrepro.datasets.coco_file import CocoFile, read_coco

NAMES = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
RECALLS = ("AR@{0}", "AR@{1}", "AR@{2}", "AR_s@{2}", "AR_m@{2}", "AR_l@{2}")


@METRICS.register_module()
class RelationCocoMetric(CocoMetric):
    """Box AP and AR on every image of an annotation file.

    Not mmdet's ``CocoMetric``: its labels are places in the file's list of categories, it evaluates AP50 and AP75 with
    1000 detections and rounds to three digits. Labels that no category has are left out, as COCO's tool does.

    Args:
        ann_file: the annotation file.
        labels: how the detector's labels are counted, ``raw`` or ``contiguous``; as ``RelationCocoDataset`` says if
            None, and raw for data sets that do not say it.
        proposal_nums: three numbers of detections per image, ascending; with the last AP is computed.
        classwise: also give ``bbox_mAP/<class>`` for every class.
        iou_thrs, format_only, outfile_prefix, backend_args, collect_device, prefix: as in ``CocoMetric``.

    Raises:
        AnnotationError: the annotation file cannot be used.
        ValueError: the data set's labels or classes are not those of the file, or ``proposal_nums`` are no such
            numbers.
    """

    def __init__(
        self,
        ann_file: str,
        labels: Labels | None = None,
        proposal_nums: Sequence[int] = (1, 10, 100),
        classwise: bool = False,
        *,
        iou_thrs: Sequence[float] | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        if len(proposal_nums) != 3 or list(proposal_nums) != sorted({*proposal_nums}):
            raise ValueError(f"proposal_nums are three ascending numbers, got {tuple(proposal_nums)}")
        super().__init__(
            ann_file=None,
            metric="bbox",
            proposal_nums=proposal_nums,
            classwise=classwise,
            iou_thrs=iou_thrs,
            format_only=format_only,
            outfile_prefix=outfile_prefix,
            backend_args=backend_args,
            collect_device=collect_device,
            prefix=prefix,
        )
        file = read_coco(ann_file, self.backend_args, pictures=False)
        self._coco_api = evaluated(file)
        self.img_ids = [image["id"] for image in file.images]
        self.categories, self.ann_file, self.labels = file.categories, ann_file, labels
        self._place_of: dict[int, int] = {}  # of a label among the evaluated categories

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
            found["labels"] = np.array([self._place_of[label] for label in found["labels"].tolist()], int)

    def _class_space(self, told: Mapping) -> ClassSpace:
        """Return the labels of the file's categories; what the data set tells of itself must agree."""
        labels, classes = told.get("labels"), told.get("classes")
        if None not in (labels, self.labels) and labels != self.labels:
            raise ValueError(
                f"{self.ann_file} is evaluated with labels={self.labels!r}, but the data set has {labels!r}. "
                "Fix: leave labels of RelationCocoMetric out, and set that of the data set to the detector's"
            )
        space = class_space(self.categories, self.labels or labels or "raw", classes, self.ann_file)
        if classes is not None and space.names != tuple(classes):
            raise ValueError(
                f"{self.ann_file}: the data set has {len(classes)} classes, {_first(classes)}, but with "
                f"labels={self.labels or labels or 'raw'!r} the file's are {len(space.names)}, {_first(space.names)}. "
                "Fix: set labels of RelationCocoMetric to 'raw' or 'contiguous', whichever the data set's are"
            )
        return space

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``bbox_mAP`` and so on, and ``AR@1`` and so on; -1 where there is no such object."""
        if self.format_only:
            return super().compute_metrics(results)
        if self.outfile_prefix is not None:
            self.results2json([found for _, found in results], self.outfile_prefix)
        evaluation = COCOeval(self._coco_api, self._detections([found for _, found in results]), "bbox")
        evaluation.params.catIds = self.cat_ids
        evaluation.params.imgIds = self.img_ids
        evaluation.params.maxDets = self.proposal_nums
        evaluation.params.iouThrs = self.iou_thrs
        evaluation.evaluate()
        evaluation.accumulate()
        found = self._summary(evaluation.eval)
        logger = MMLogger.get_current_instance()
        logger.info("bbox_mAP_copypaste: " + " ".join(f"{found[f'bbox_{name}']:.3f}" for name in NAMES))
        if self.classwise:
            name_of = {category["id"]: category["name"] for category in self.categories}
            for place, category in enumerate(self.cat_ids):
                found[f"bbox_mAP/{name_of[category]}"] = _mean(evaluation.eval["precision"][:, :, place, 0, -1])
        return found

    def _summary(self, found: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the twelve numbers.

        Not the tool's ``summarize``: whatever the numbers of detections, it computes the first AP with 100.

        Args:
            found: ``precision`` (thresholds, recalls, classes, sizes, numbers of detections), and ``recall`` without
                the second axis.
        """
        precision, recall = found["precision"][..., -1], found["recall"]
        values = [precision[..., 0], *(precision[np.isclose(self.iou_thrs, one)][..., 0] for one in (0.5, 0.75))]
        values += [precision[..., size] for size in (1, 2, 3)]
        values += [recall[:, :, 0, number] for number in range(3)] + [recall[:, :, size, -1] for size in (1, 2, 3)]
        names = [f"bbox_{name}" for name in NAMES] + [name.format(*self.proposal_nums) for name in RECALLS]
        return dict(zip(names, map(_mean, values), strict=True))

    def _detections(self, results: Sequence[dict]) -> COCO:
        """Return all detections as COCO's tool takes them; it cannot load none by itself."""
        listed = [
            dict(
                image_id=result["img_id"],
                category_id=self.cat_ids[label],
                bbox=self.xyxy2xywh(box),
                score=float(score),
            )
            for result in results
            for box, score, label in zip(result["bboxes"], result["scores"], result["labels"], strict=True)
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
