"""Pictures with annotations in Pascal VOC's format, checked like those in COCO's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmdet.registry import DATASETS
from mmengine.logging import print_log

from mmrepro.datasets.coco_file import CocoFile

from .relation_coco import RelationCocoDataset
from .voc_file import read_voc


@DATASETS.register_module()
class RelationVocDataset(RelationCocoDataset):
    """A data set in Pascal VOC's format; labels are places in ``metainfo["classes"]``, as everywhere in mmdet.

    Not mmdet's ``XMLDataset``: that takes ``.jpg`` files alone, keeps boxes without extent and boxes beyond the
    picture, and leaves a misspelt class without objects. Objects marked difficult are not trained on, and in an
    evaluation with mmdet's ``VOCMetric`` they count neither as found nor as missed.

    Args:
        data_prefix: folders of the pictures, ``img``, and of the XML files, ``ann``; ``JPEGImages`` and
            ``Annotations`` by default.
        **kwargs: of :class:`RelationCocoDataset`, but ``labels``. ``ann_file`` is the list of names, and
            ``metainfo=dict(classes=...)`` is needed; objects of other names are left out and counted.

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
        if unseen := [name for name in classes if name not in names] if self.test_mode else []:
            print_log(f"{file.path}: no object is {' or '.join(map(repr, unseen))}", logger="current")
        added = [dict(id=number, name=name) for number, name in enumerate(unseen, start=len(names))]
        return replace(file, categories=file.categories + added)

    def instance(self, annotation: dict, box: list[float]) -> dict:
        """Return mmdet's entry of an annotation; difficult ones are to be ignored."""
        return super().instance(annotation, box) | dict(ignore_flag=annotation["difficult"])
