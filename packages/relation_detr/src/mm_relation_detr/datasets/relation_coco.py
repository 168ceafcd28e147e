"""COCO as the official code reads it (arXiv 2407.11699; xiuqhou/Relation-DETR @ b485955).

Not mmdet's ``CocoDataset``: that labels from 0, keeps crowds as ignored boxes, drops boxes below one pixel before any
resizing, does not clip, and shifts labels silently where ``classes`` is in another order than the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from mmdet.datasets import BaseDetDataset, CocoDataset
from mmdet.registry import DATASETS
from mmdet.visualization.palette import get_palette
from mmengine.logging import print_log

from mm_relation_detr.class_space import Labels, class_space

from .coco_file import AnnotationError, CocoFile, read_coco
from .image_files import fault_of_file, missing_files

_SHOWN = 5


@DATASETS.register_module()
class RelationCocoDataset(BaseDetDataset):
    """A data set in COCO's format, with the boxes, labels and choice of images of the official code.

    Crowds are left out, boxes are clipped to their image, and those without extent are dropped. For training
    (``test_mode=False``) an image stays if it has an annotation, crowds included, whose sides are both above one pixel;
    ``filter_cfg=dict(filter_empty_gt=False)`` keeps all. ``metainfo["classes"]`` has one name per class score: 91 for
    COCO with raw ids, ``none`` where no category has the id.

    Args:
        labels: ``raw`` makes the category id the label, as official detectors do; ``contiguous`` counts from 0, in the
            order of ``metainfo=dict(classes=...)`` or else of the ids.
        bad_images: what to do with images whose file is missing: ``raise``, or ``skip_missing`` to leave them out and
            say so. ``skip`` opens every file and leaves out empty and truncated ones too. In evaluation, what they show
            counts as not found.
        known_bad_images: file names (without folders) that are left out unread, whatever ``bad_images`` is.
        **kwargs: of mmdet's ``BaseDetDataset``.

    Attributes:
        skipped_images: the file of each image that was left out, and why.

    Raises:
        AnnotationError: the annotation file cannot be used, images are missing, or none can be trained on.
        ValueError: ``metainfo["classes"]`` has a name that the file has not.
    """

    def __init__(
        self,
        *args: Any,
        labels: Labels = "raw",
        bad_images: Literal["raise", "skip_missing", "skip"] = "raise",
        known_bad_images: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        if bad_images not in ("raise", "skip_missing", "skip"):
            raise ValueError(f"bad_images is 'raise', 'skip_missing' or 'skip', got {bad_images!r}")
        self.labels, self.bad_images, self.known_bad_images = labels, bad_images, frozenset(known_bad_images)
        self.skipped_images: dict[str, str] = {}
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file: one entry per image that can be read, by ascending image id."""
        file = read_coco(self.ann_file, self.backend_args)
        self._take_classes(file)
        counts: Counter[str] = Counter()
        entries = [self._entry(image, file.annotations.get(image["id"], []), counts) for image in file.images]
        if said := ", ".join(f"{count} {what}" for what, count in counts.items() if count):
            print_log(f"{file.path}: {said}", logger="current")
        self.skipped_images = self._find_bad_images([entry["img_path"] for entry in entries], file.path)
        return [entry for entry in entries if entry["img_path"] not in self.skipped_images]

    def filter_data(self) -> list[dict]:
        """Return the images to train on; for testing, all.

        Raises:
            AnnotationError: none is left.
        """
        settings = self.filter_cfg or {}
        if self.test_mode:
            return self.data_list
        min_size = settings.get("min_size", 0)
        kept = [
            entry
            for entry in self.data_list
            if min(entry["width"], entry["height"]) >= min_size
            and (entry["trainable"] or not settings.get("filter_empty_gt", True))
        ]
        if not kept:
            raise AnnotationError(
                f"{self.ann_file}: none of {len(self.data_list)} images can be trained on: no box of the wanted "
                "classes has both sides above one pixel. Fix: give training annotations, or correct metainfo['classes']"
            )
        return kept

    def image_path(self, file_name: str) -> str:
        """Return where an image of the annotation file lies."""
        prefix = self.data_prefix.get("img", self.data_prefix.get("img_path", ""))
        return f"{prefix.rstrip('/')}/{file_name}" if prefix else file_name

    def _take_classes(self, file: CocoFile) -> None:
        space = class_space(file.categories, self.labels, self._metainfo.get("classes"), file.path)
        self.cat2label = dict(space.label_of)
        self.cat_ids = list(space.label_of)
        self._metainfo["classes"] = space.names
        self._metainfo.setdefault("palette", palette_of(space.names))

    def _entry(self, image: dict, annotations: list[dict], counts: Counter[str]) -> dict:
        """Return mmdet's entry of an image, and count what is not taken as it stands in the file."""
        wanted = [annotation for annotation in annotations if annotation["category_id"] in self.cat2label]
        width, height = image["width"], image["height"]
        kept = kept_boxes(wanted, width, height)
        crowds = sum(bool(annotation.get("iscrowd")) for annotation in wanted)
        counts["images without annotations"] += not annotations
        counts["boxes of other classes left out"] += len(annotations) - len(wanted)
        counts["crowds left out"] += crowds
        counts["boxes without extent in their image dropped"] += len(wanted) - crowds - len(kept)
        counts["boxes clipped to their image"] += sum(_sticks_out(one["bbox"], width, height) for one, _ in kept)
        return dict(
            img_path=self.image_path(image["file_name"]),
            img_id=image["id"],
            width=width,
            height=height,
            trainable=any(min(annotation["bbox"][2:]) > 1 for annotation in wanted),
            instances=[
                dict(bbox=box, bbox_label=self.cat2label[annotation["category_id"]], ignore_flag=0)
                for annotation, box in kept
            ],
        )

    def _find_bad_images(self, paths: list[str], source: str) -> dict[str, str]:
        bad = {path: "known to be bad" for path in paths if PurePosixPath(path).name in self.known_bad_images}
        local = [path for path in paths if path not in bad] if self.backend_args is None else []
        if self.bad_images == "skip":
            found = ((path, fault_of_file(path)) for path in local)
            bad |= {path: fault for path, fault in found if fault is not None}
        else:
            bad |= dict.fromkeys(missing := list(missing_files(local)), "missing")
            if missing and self.bad_images == "raise":
                raise AnnotationError(
                    f"{source} lists {len(paths)} images, of which {len(missing)} are missing: "
                    f"{', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}. Fix: put them there, "
                    "set data_root and data_prefix=dict(img=...) to their folder, or bad_images='skip_missing'"
                )
        if bad:
            reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(bad.values()).items())
            first = ", ".join(f"{path} ({reason})" for path, reason in list(bad.items())[:_SHOWN])
            print_log(
                f"{source}: {len(bad)} of {len(paths)} images are left out ({reasons}): {first}"
                f"{', ...' if len(bad) > _SHOWN else ''}",
                logger="current",
            )
        return bad


def kept_boxes(annotations: Sequence[dict], width: float, height: float) -> list[tuple[dict, list[float]]]:
    """Return the annotations to train on, each with its box, clipped to the image, as x1, y1, x2, y2 in pixels.

    Crowds and boxes that have no extent in the image are left out. Computed in float32, as officially.
    """
    single = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    boxes = np.array([annotation["bbox"] for annotation in single], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    extended = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return [(annotation, box.tolist()) for annotation, box, has in zip(single, boxes, extended, strict=True) if has]


def _sticks_out(box: Sequence[float], width: float, height: float) -> bool:
    """Return whether a box (x, y, w, h) leaves its image by more than rounding in the file."""
    x, y, w, h = box
    return min(x, y) < -0.5 or x + w > width + 0.5 or y + h > height + 0.5


def palette_of(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return a colour per name: COCO's for its classes, fixed random ones for others."""
    coco = dict(zip(CocoDataset.METAINFO["classes"], CocoDataset.METAINFO["palette"], strict=True))
    others = [tuple(map(int, colour)) for colour in get_palette("random", len(names))]
    return [coco.get(name, other) for name, other in zip(names, others, strict=True)]
