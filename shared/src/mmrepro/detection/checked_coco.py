"""mmdet's COCO data set, which here says before the first step what is wrong with annotations and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from logging import WARNING
from typing import Any, Literal

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from mmrepro.datasets.coco_file import AnnotationError, CocoFile, read_coco, refuse
from mmrepro.datasets.coco_masks import fault_of_mask
from mmrepro.datasets.image_files import faults_of_files

_SHOWN = 5


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with its boxes, labels, masks and choice of images.

    mmdet itself leaves out the objects of a class that the file does not have, and those whose polygons are none,
    without a word; it gives the classes' names to other labels where the file has another order; and a picture or an
    annotation at fault ends a training in its midst, unnamed. Masks are looked at if the pipeline loads them. Boxes of
    no size and crowds are in order.

    Args:
        bad_images: what to do with pictures that are missing, empty, no pictures or cut off: ``raise``, or ``skip`` to
            leave them out and say so; in evaluation, what they show counts as not found. Each file is opened once, at
            the start; those of other storage than the file system are not.
        **kwargs: of mmdet's ``CocoDataset``.

    Raises:
        AnnotationError: the annotation file cannot be used, ``metainfo["classes"]`` does not fit it, pictures cannot be
            read, or there is no object to train on. With every ``bad_images``, if no picture can be read.
        FileNotFoundError: there is no such annotation file.
        ValueError: ``bad_images`` is neither.
    """

    def __init__(self, *args: Any, bad_images: Literal["raise", "skip"] = "raise", **kwargs: Any) -> None:
        if bad_images not in ("raise", "skip"):
            raise ValueError(f"bad_images is 'raise' or 'skip', got {bad_images!r}")
        self.bad_images = bad_images
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the annotation file: mmdet's entry of each image."""
        file = read_coco(self.ann_file, self.backend_args)
        self._check_names(file)
        refuse(file.path, *self._faults(file))
        entries = super().load_data_list()
        self._check_order(file)
        return entries

    def filter_data(self) -> list[dict]:
        """Return the images that mmdet chooses by ``filter_cfg``, whose pictures are looked at.

        Raises:
            AnnotationError: no object is left to train on, or pictures cannot be read.
        """
        kept = super().filter_data()
        if not self.test_mode and all(one["ignore_flag"] for entry in kept for one in entry["instances"]):
            raise AnnotationError(
                f"{self.ann_file}: no object can be trained on in {len(kept)} of {len(self.data_list)} images, which "
                f"is what filter_cfg leaves. An object is of {_listed(self.metainfo['classes'])}, no crowd, and has "
                "sides of a pixel or more in its image. Fix: give training annotations, or correct "
                "metainfo['classes'] or filter_cfg"
            )
        bad = self._bad_images([entry["img_path"] for entry in kept])
        return [entry for entry in kept if entry["img_path"] not in bad]

    def _check_names(self, file: CocoFile) -> None:
        classes, known = self.metainfo["classes"], [category["name"] for category in file.categories]
        if isinstance(classes, str):
            raise AnnotationError(f"metainfo['classes'] is one text, {classes!r}. Fix: classes=({classes!r},)")
        if unknown := [name for name in classes if name not in known]:
            raise AnnotationError(
                f"{file.path} has no category {_listed(unknown)} of metainfo['classes']: its categories are "
                f"{', '.join(map(repr, known))}. Fix: metainfo=dict(classes=(...)) with names of these"
            )

    def _check_order(self, file: CocoFile) -> None:
        """Stop where the numbers that mmdet gave the categories, in the file's order, are not those of the names."""
        name_of = {category["id"]: category["name"] for category in file.categories}
        refuse(
            file.path,
            *(("categories with the name of another", f"id {one}") for one in self.cat_ids if one not in name_of),
        )
        numbered, classes = [name_of[one] for one in self.cat_ids], list(self.metainfo["classes"])
        if numbered != classes:
            raise AnnotationError(
                f"{file.path} has the categories in another order than metainfo['classes'], {_listed(classes)}, and "
                "mmdet numbers them in the file's. Fix: metainfo=dict(classes=("
                f"{', '.join(map(repr, numbered))},)), or sort the categories in the file"
            )

    def _faults(self, file: CocoFile) -> Iterator[tuple[str, str]]:
        """Return the kind and the entry of each fault of the annotations in use that only mmdet minds."""
        # pycocotools asks for the last where it evaluates
        needed = ("id", "area", "iscrowd") if self.test_mode else ("id", "area")
        with_masks = any(getattr(step, "with_mask", False) for step in self.pipeline.transforms)
        used = {category["id"] for category in file.categories if category["name"] in self.metainfo["classes"]}
        for image in file.images:
            for annotation in file.annotations.get(image["id"], []):
                absent = [key for key in needed if key not in annotation]
                name = f"annotation {annotation.get('id', 'of')} of {image['file_name']}"
                if absent:
                    yield f"annotations without {' and '.join(absent)}, which mmdet needs", name
                elif with_masks and annotation["category_id"] in used and (self.test_mode or _is_loaded(annotation)):
                    fault = fault_of_mask(annotation.get("segmentation"), image["width"], image["height"])
                    if fault is not None:
                        yield fault, name

    def _bad_images(self, paths: list[str]) -> dict[str, str]:
        bad = faults_of_files(paths) if self.backend_args is None else {}
        if not bad:
            return bad
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(bad.values()).items())
        first = ", ".join(f"{path} ({reason})" for path, reason in list(bad.items())[:_SHOWN])
        said = (
            f"{self.ann_file}: {len(bad)} of {len(paths)} pictures cannot be read ({reasons}): {first}"
            f"{', ...' if len(bad) > _SHOWN else ''}"
        )
        if self.bad_images == "raise" or len(bad) == len(paths):
            raise AnnotationError(
                f"{said}. Fix: put them there, set data_root and data_prefix=dict(img=...) to their folder, or leave "
                "some out with bad_images='skip'"
            )
        done = " In the evaluation their objects count as not found" if self.test_mode else ""
        print_log(f"{said}. They are left out.{done}", logger="current", level=WARNING)
        return bad


def _is_loaded(annotation: dict) -> bool:
    """Return whether mmdet takes an annotation for training, as far as its box and area tell."""
    return min(annotation["bbox"][2:]) >= 1 and annotation["area"] > 0 and not annotation.get("ignore")


def _listed(names: list[str]) -> str:
    return f"{', '.join(map(repr, names[:_SHOWN]))}{', ...' if len(names) > _SHOWN else ''}"
