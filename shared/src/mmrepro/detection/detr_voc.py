"""Pictures with annotations in Pascal VOC's format, checked like those in COCO's, and COCO's measures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS, METRICS
from mmengine.logging import print_log

from mmrepro.datasets.coco_file import CocoFile
from mmrepro.detection.class_space import ClassSpace
from mmrepro.detection.common_places import CommonPlaces
from mmrepro.detection.detr_coco import DetrCocoDataset
from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.detection.voc_file import read_voc


@DATASETS.register_module()
class DetrVocDataset(DetrCocoDataset):
    """A data set in Pascal VOC's format; labels are places in ``metainfo["classes"]``, as everywhere in mmdet.

    Not mmdet's ``XMLDataset``: that takes ``.jpg`` files alone, keeps boxes without extent and boxes beyond the
    picture, and leaves a misspelt class without objects. Objects marked difficult are not trained on, and in an
    evaluation with mmdet's ``VOCMetric`` they count neither as found nor as missed.

    Args:
        data_prefix: folders of the pictures, ``img``, and of the XML files, ``ann``; ``JPEGImages`` and
            ``Annotations`` by default.
        **kwargs: of :class:`mmrepro.detection.detr_coco.DetrCocoDataset`, but ``labels``. ``ann_file`` is the list of
            names, and ``metainfo=dict(classes=...)`` is needed; objects of other names are left out and counted.

    Raises:
        AnnotationError: the list or XML files cannot be used, pictures are missing, or none can be trained on.
        ValueError: no class is named, or one that no object of the training pictures has.
    """

    def __init__(self, *args: Any, data_prefix: dict | None = None, **kwargs: Any) -> None:
        folders = dict(img="JPEGImages", ann="Annotations") | (data_prefix or {})
        super().__init__(*args, data_prefix=folders, labels="contiguous", **kwargs)

    def read(self) -> CocoFile:
        """Read and check the list and the XML files."""
        file = read_voc(self.ann_file, self.data_prefix["ann"], self.data_prefix["img"], self.backend_args)
        names = [category["name"] for category in file.categories]
        classes = self._metainfo.get("classes")
        if not classes:
            raise ValueError(
                f"{self.ann_file}: which classes are wanted is not said. Fix: metainfo=dict(classes=...), of "
                f"{', '.join(map(repr, names)) or 'the names in the XML files'}"
            )
        if not self.test_mode:
            return file
        if unseen := _unseen(file.categories, classes):
            print_log(f"{file.path}: no object is {' or '.join(repr(one['name']) for one in unseen)}", logger="current")
        return replace(file, categories=file.categories + unseen)

    def instance(self, annotation: dict, box: list[float]) -> dict:
        """Return mmdet's entry of an annotation; difficult ones are to be ignored."""
        return super().instance(annotation, box) | dict(ignore_flag=annotation["difficult"])


def _unseen(categories: Sequence[Mapping], classes: Sequence[str]) -> list[dict]:
    """Return a category for each class that no object has: the XML files list none."""
    names = {one["name"] for one in categories}
    unseen = [name for name in classes if name not in names]
    return [dict(id=number, name=name) for number, name in enumerate(unseen, start=len(categories))]


@METRICS.register_module()
class DetrVocMetric(DetrCocoMetric):
    """COCO's measures of boxes on a data set in Pascal VOC's format; difficult objects count as crowds.

    Args:
        ann_file: the list of names, below ``data_root``.
        data_root: folder of everything.
        data_prefix: as in :class:`DetrVocDataset`.
        **kwargs: everything else as in :class:`mmrepro.detection.detr_coco_metric.DetrCocoMetric`, but ``labels``.
    """

    def __init__(
        self, ann_file: str, data_root: str = "", data_prefix: dict[str, str] | None = None, **kwargs: Any
    ) -> None:
        self.root = Path(data_root)
        self.folders = dict(img="JPEGImages", ann="Annotations") | (data_prefix or {})
        super().__init__(ann_file, labels="contiguous", **kwargs)

    def read(self, ann_file: str) -> CocoFile:
        """Read and check the list and the XML files."""
        folders = (str(self.root / self.folders[kind]) for kind in ("ann", "img"))
        file = read_voc(str(self.root / ann_file), *folders, self.backend_args)
        crowds = {
            image: [one | dict(iscrowd=one["difficult"]) for one in annotations]
            for image, annotations in file.annotations.items()
        }
        return replace(file, annotations=crowds)

    def _class_space(self, told: Mapping) -> ClassSpace:
        self.categories = self.categories + _unseen(self.categories, told.get("classes") or ())
        return super()._class_space(told)


@METRICS.register_module()
class CommonPlacesVocMetric(CommonPlaces, DetrVocMetric):
    """AP of guessing without looking, see :class:`mmrepro.detection.common_places.CommonPlaces`.

    Args:
        train: ``dict(ann_file=...)``, the list of the training pictures.
        grid: boxes in each direction.
        **kwargs: everything else as in :class:`DetrVocMetric`.

    Raises:
        ValueError: at the first batch: no object of the training pictures is of the data set's classes.
    """

    @property
    def label_of(self) -> dict[int, int]:
        """The label of each category: the place of its name among the data set's classes."""
        classes, file = list(self.dataset_meta["classes"]), self.training()
        labels = {one["id"]: classes.index(one["name"]) for one in file.categories if one["name"] in classes}
        if not labels:
            names = ", ".join(repr(one["name"]) for one in file.categories) or "no names"
            raise ValueError(
                f"{file.path}: no object is {' or '.join(map(repr, classes))}, so there is nothing to guess by; "
                f"the XML files have {names}. Fix: train=dict(ann_file=...) with the list of the training pictures"
            )
        return labels

    def training(self) -> CocoFile:
        """Return the annotations of the training pictures."""
        return self.read(self.train["ann_file"])
