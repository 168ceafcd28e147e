"""COCO as DETR's official code reads it, and that of the detectors after it, for boxes and masks.

Not mmdet's ``CocoDataset``: that labels from 0, keeps crowds as ignored boxes, drops boxes below one pixel before any
resizing, does not clip, and shifts labels silently where ``classes`` is in another order than the file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from logging import WARNING
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from mmdet.datasets import BaseDetDataset, CocoDataset
from mmdet.registry import DATASETS
from mmdet.visualization.palette import get_palette
from mmengine.config import Config
from mmengine.logging import print_log
from pycocotools.mask import frPyObjects, toBbox

from mmrepro.datasets.coco_file import AnnotationError, CocoFile, read_coco, refuse
from mmrepro.datasets.coco_masks import fault_of_mask
from mmrepro.datasets.image_files import decoding_fault, fault_of_file, missing_files
from mmrepro.detection.class_space import Labels, class_space, coco_names

_SHOWN = 5
_TRIED = 20  # pictures, before it is said that none is of use


@DATASETS.register_module()
class DetrCocoDataset(BaseDetDataset):
    """A data set in COCO's format, with the boxes, labels and choice of images of the official code.

    Crowds are left out, boxes are clipped to their image, and those without extent are dropped. For training
    (``test_mode=False``) an image stays if it has an annotation, crowds included, whose sides are both above one pixel;
    ``filter_cfg=dict(filter_empty_gt=False)`` keeps all. ``metainfo["classes"]`` has one name per class score: 91 for
    COCO with raw ids, ``none`` where no category has the id; ``metainfo["labels"]`` tells ``DetrCocoMetric`` how
    they are counted.

    Masks are taken, and looked at, if the pipeline loads them (``LoadAnnotations(with_mask=True)``): polygons, which
    are joined, or run lengths. They are neither clipped nor asked to have pixels.

    Args:
        labels: ``raw`` makes the category id the label, as official detectors do; ``contiguous`` counts from 0, in the
            order of ``metainfo=dict(classes=...)`` or else of the ids.
        bad_images: what to do with images whose file is missing: ``raise``, or ``skip_missing`` to leave them out and
            say so. ``skip`` opens every file and leaves out empty and truncated ones too. In evaluation, what they show
            counts as not found. A fault that shows only when a picture is loaded is an error with ``raise`` and in
            evaluation; otherwise training goes on with another picture, and the log names the file. Another size than
            annotated is an error with ``raise``; otherwise the picture is taken, as officially, and the log names it.
        known_bad_images: file names (without folders) that are left out unread, whatever ``bad_images`` is.
        **kwargs: of mmdet's ``BaseDetDataset``.

    Attributes:
        skipped_images: the file of each image that was left out, and why. Of pictures that worker processes leave out
            while loading, the log alone tells.

    Raises:
        AnnotationError: the annotation file cannot be used, images are missing, or none can be trained on; masks are
            wanted, and an object has none or one that is not its own. With every ``bad_images``, if all are missing.
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
        self._looked_at: set[int] = set()  # places of the pictures whose file was found in order
        self._usable, self._named = 0, set()  # samples given, and pictures at fault, by this process
        self._with_mask = False
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file: one entry per image that can be read, by ascending image id."""
        file = self.read()
        self._take_classes(file)
        self._with_mask = any(getattr(step, "with_mask", False) for step in self.pipeline.transforms)
        if self._with_mask:
            self._check_masks(file)
        counts: Counter[str] = Counter()
        entries = [self._entry(image, file.annotations.get(image["id"], []), counts) for image in file.images]
        if said := ", ".join(f"{count} {what}" for what, count in counts.items() if count):
            print_log(f"{file.path}: {said}", logger="current")
        self.skipped_images = self._find_bad_images([entry["img_path"] for entry in entries], file.path)
        return [entry for entry in entries if entry["img_path"] not in self.skipped_images]

    def read(self) -> CocoFile:
        """Read and check the annotations."""
        return read_coco(self.ann_file, self.backend_args)

    def prepare_data(self, idx: int) -> dict | None:
        """Return a sample as the pipeline gives it; None, for another one to be drawn, also if it cannot be read.

        The latter is for training with ``bad_images`` other than ``raise``; a fault is said once for each file.

        Raises:
            AnnotationError: the picture cannot be read, or has not the size that its annotations are made for; or so it
                is with every picture that this process has loaded.
        """
        entry = self.get_data_info(idx)
        path = entry["img_path"]
        sample, fault = self._load(idx, entry)
        if fault is None:
            self._usable += sample is not None
            return sample
        if self.bad_images == "raise" or (self.test_mode and sample is None):
            raise AnnotationError(
                f"{path}, listed in {self.ann_file}: {fault}. Fix: correct or replace it, or leave it out with "
                "known_bad_images"
            )
        if path not in self._named:
            self._named.add(path)
            done = "left out" if sample is None else "taken all the same"
            print_log(f"{path}, listed in {self.ann_file}, is {done}: {fault}", logger="current", level=WARNING)
        if sample is None:
            self.skipped_images[path] = fault
        if not self.test_mode and not self._usable and len(self._named) >= min(_TRIED, len(self)):
            raise AnnotationError(
                f"{self.ann_file}: none of the {len(self._named)} pictures loaded so far can be trained on; the last "
                f"is {path}: {fault}. Fix: give the pictures that the annotations are made for"
            )
        return sample

    def _load(self, idx: int, entry: dict) -> tuple[dict | None, str | None]:
        """Return the sample, if its picture can be read, and what is wrong with the picture."""
        path, local = entry["img_path"], self.backend_args is None
        # Once for each picture, for it costs two reads; cv2 says nothing where a JPEG is cut off.
        fault = fault_of_file(path) if local and idx not in self._looked_at else None
        if fault is not None:
            return None, fault
        self._looked_at.add(idx)
        try:
            sample = self.pipeline(entry)
        except Exception:
            fault = fault_of_file(path) or decoding_fault(path) if local else None
            if fault is None:  # the pipeline's, not the picture's
                raise
            return None, fault
        # None: a transform found nothing left, and another picture is to be drawn
        return sample, None if sample is None else _other_size(sample, (entry["height"], entry["width"]))

    def filter_data(self) -> list[dict]:
        """Return the images to train on; for testing, all.

        Raises:
            AnnotationError: no box is left; with ``filter_empty_gt=False``, no image.
        """
        settings = self.filter_cfg or {}
        if self.test_mode:
            return self.data_list
        min_size, wants_objects = settings.get("min_size", 0), settings.get("filter_empty_gt", True)
        kept = [
            entry
            for entry in self.data_list
            if min(entry["width"], entry["height"]) >= min_size and (entry["trainable"] or not wants_objects)
        ]
        if not kept or (wants_objects and all(one["ignore_flag"] for entry in kept for one in entry["instances"])):
            raise AnnotationError(
                f"{self.ann_file}: none of {len(self.data_list)} images can be trained on: no box of the wanted "
                "classes that is neither a crowd nor marked difficult has both sides above one pixel, or no such image "
                "is as large as filter_cfg's min_size. Fix: give training annotations, or correct metainfo['classes']"
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
        self._metainfo |= dict(classes=space.names, labels=self.labels)
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
            instances=[self.instance(annotation, box) for annotation, box in kept],
        )

    def instance(self, annotation: dict, box: list[float]) -> dict:
        """Return mmdet's entry of an annotation with its clipped box."""
        instance = dict(bbox=box, bbox_label=self.cat2label[annotation["category_id"]], ignore_flag=0)
        if self._with_mask:
            instance["mask"] = annotation["segmentation"]
        return instance

    def _check_masks(self, file: CocoFile) -> None:
        """Stop if an object to train on has no mask, or one that is not its own."""
        faults: list[tuple[str, str]] = []
        objects = 0
        for image in file.images:
            width, height = image["width"], image["height"]
            wanted = [one for one in file.annotations.get(image["id"], []) if one["category_id"] in self.cat2label]
            for annotation, box in kept_boxes(wanted, width, height):
                objects += 1
                mask = annotation.get("segmentation")
                fault = fault_of_mask(mask, width, height) or _fault_of_place(mask, box)
                if fault is not None:
                    faults.append((fault, f"annotation {annotation.get('id', 'of')} of {image['file_name']}"))
        if objects and {fault for fault, _ in faults} == {"objects without a mask"} and len(faults) == objects:
            raise AnnotationError(
                f"{file.path} has boxes alone: none of {objects} objects has a segmentation, but the pipeline loads "
                "masks. Fix: LoadAnnotations(with_bbox=True, with_mask=False) and a detector without masks, or give "
                "annotations with masks"
            )
        refuse(file.path, *faults)

    def _find_bad_images(self, paths: list[str], source: str) -> dict[str, str]:
        bad = {path: "known to be bad" for path in paths if PurePosixPath(path).name in self.known_bad_images}
        local = [path for path in paths if path not in bad] if self.backend_args is None else []
        if self.bad_images == "skip" and any(map(os.path.isfile, local)):
            found = ((path, fault_of_file(path)) for path in local)
            bad |= {path: fault for path, fault in found if fault is not None}
        else:
            bad |= dict.fromkeys(missing := list(missing_files(local)), "missing")
            if missing and (self.bad_images == "raise" or len(missing) == len(local)):
                raise AnnotationError(
                    f"{source} lists {len(paths)} images, of which {len(missing)} are missing: "
                    f"{', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}. Fix: put them there, "
                    "set data_root and data_prefix=dict(img=...) to their folder, or bad_images='skip_missing' where "
                    "some are there"
                )
        if bad:
            reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(bad.values()).items())
            first = ", ".join(f"{path} ({reason})" for path, reason in list(bad.items())[:_SHOWN])
            print_log(
                f"{source}: {len(bad)} of {len(paths)} images are left out ({reasons}): {first}"
                f"{', ...' if len(bad) > _SHOWN else ''}"
                f"{'. In the evaluation their objects count as not found' if self.test_mode else ''}",
                logger="current",
                level=WARNING,
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


def _fault_of_place(mask: list | dict, box: Sequence[float]) -> str | None:
    """Return what is wrong with the place of a sound mask: it does not meet its box (x1, y1, x2, y2)."""
    if isinstance(mask, dict):
        runs = mask if isinstance(mask["counts"], str) else frPyObjects(mask, *mask["size"])
        x, y, width, height = toBbox(runs)
        if not width:
            return "run lengths without a pixel"
        left, top, right, bottom = x, y, x + width, y + height
    else:
        left, right = (extreme(extreme(polygon[::2]) for polygon in mask) for extreme in (min, max))
        top, bottom = (extreme(extreme(polygon[1::2]) for polygon in mask) for extreme in (min, max))
    margin = 1  # pixel: tools round boxes and outlines differently
    apart = left > box[2] + margin or top > box[3] + margin or right < box[0] - margin or bottom < box[1] - margin
    return "masks outside their boxes" if apart else None


def _other_size(sample: dict, annotated: tuple[int, int]) -> str | None:
    """Return what is wrong with the size of a loaded picture; None also where the pipeline does not tell it.

    Args:
        sample: what the pipeline returned.
        annotated: height and width in the annotations.
    """
    packed = sample.get("data_samples")
    loaded = (packed.metainfo if packed is not None else sample).get("ori_shape", annotated)
    if tuple(loaded) == annotated:
        return None
    turned = (
        ": if its boxes are made for the picture as its EXIF entry turns it, set color_type='color' in "
        "LoadImageFromFile"
    )
    return (
        f"it has {loaded[1]} x {loaded[0]} pixels, its annotations say {annotated[1]} x {annotated[0]}"
        f"{turned if tuple(loaded) == annotated[::-1] else ''}"
    )


def palette_of(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return a colour per name: COCO's for its classes, fixed random ones for others."""
    coco = dict(zip(CocoDataset.METAINFO["classes"], CocoDataset.METAINFO["palette"], strict=True))
    others = [tuple(map(int, colour)) for colour in get_palette("random", len(names))]
    return [coco.get(name, other) for name, other in zip(names, others, strict=True)]


def classes_of_config(config: Config, outputs: int) -> Sequence[str] | None:
    """Return the class names that a config's test data or its kind of data state, or COCO's if it is on COCO.

    Args:
        config: with a ``test_dataloader``.
        outputs: how many class scores the detector has; names of a kind of data are taken if there are as many.
    """
    dataset = config.test_dataloader.dataset
    if named := (dataset.get("metainfo") or {}).get("classes"):
        return named
    kind = dataset.type if isinstance(dataset.type, type) else DATASETS.get(dataset.type)
    names = getattr(kind, "METAINFO", {}).get("classes", ())
    if len(names) == outputs:
        return names
    # Not their subclasses: SA-Det-100k's detectors have 91 scores too, of other classes.
    return coco_names(outputs) if kind in (CocoDataset, DetrCocoDataset) else None
