"""Reading a COCO annotation file: everything that a detector relies on is checked before the first step."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.fileio import get_text

from mmrepro.engine.errors import UserError

_SHOWN = 3
_OPTIONAL = ("area", "iscrowd")  # of an annotation


class AnnotationError(UserError, ValueError):
    """An annotation file cannot be used; the message names the file, the entries at fault and the fix."""


@dataclass(frozen=True)
class CocoFile:
    """A checked annotation file.

    Attributes:
        path: where it was read.
        images: its images, by ascending id; those of VOC's format in the order of their list.
        categories: its categories, by ascending id, each name once.
        annotations: the annotations of each image id, in the file's order; without those that have none. An ``area`` or
            ``iscrowd`` of null is left out.
    """

    path: str
    images: list[dict]
    categories: list[dict]
    annotations: Mapping[int | str, list[dict]] = field(repr=False)


def read_coco(path: str | Path, backend_args: dict | None = None, pictures: bool = True) -> CocoFile:
    """Read and check an annotation file; one without annotations (test-dev) is in order.

    Boxes of negative or no size and boxes beyond the image are in order too: data sets have them, and loaders drop or
    clip them. So are categories of one name of which annotations use one at most (Roboflow writes the parent of all
    classes as a category): that one counts, or the last.

    Args:
        path: the file.
        backend_args: of mmengine's file backend.
        pictures: the pictures will be read, so their names and sizes are needed.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: the file is no JSON, or lists are missing or have entries that cannot be used. All are counted,
            and the first of each kind are named.
    """
    try:
        content = json.loads(get_text(str(path), backend_args=backend_args))
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path} is no JSON ({error}). Fix: download or write it again") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is no text. Fix: give the .json file itself, not an archive of it") from error
    return checked(content, str(path), pictures)


def checked(content: Any, path: str, pictures: bool = True) -> CocoFile:
    """Check the content of an annotation file; see :func:`read_coco`.

    Raises:
        AnnotationError: as there.
    """
    lists = ("images", "categories")
    content = {"annotations": [], **content} if isinstance(content, dict) else {}
    missing = [name for name in (*lists, "annotations") if not _is_list_of_objects(content.get(name))]
    if missing:
        raise AnnotationError(
            f"{path} has no list of objects as {' and '.join(missing)}, so it is no COCO annotation file. "
            "Fix: give one with images, annotations and categories (results of a detector have none of them)"
        )
    annotations = [_without_nulls(annotation) for annotation in content["annotations"]]
    refuse(
        path,
        *_faults_of_categories(content["categories"], annotations),
        *_faults_of_images(content["images"], pictures),
        *_faults_of_annotations(annotations, content["images"], content["categories"]),
    )
    of_image: dict[int, list[dict]] = defaultdict(list)
    for annotation in annotations:
        of_image[annotation["image_id"]].append(annotation)
    images, categories = (sorted(content[name], key=lambda entry: entry["id"]) for name in lists)
    used = {annotation["category_id"] for annotation in annotations}
    # used ones come last, and the last of a name stays
    chosen = {category["name"]: category for category in sorted(categories, key=lambda one: one["id"] in used)}
    categories = [category for category in categories if chosen[category["name"]] is category]
    return CocoFile(path, images, categories, dict(of_image))


def refuse(path: str, *faults: tuple[str, str]) -> None:
    """Raise an error that counts the faults of each kind and names the first; do nothing if there is none.

    Args:
        path: the file that has them.
        faults: a kind and an entry each.

    Raises:
        AnnotationError: there is a fault.
    """
    entries_of: dict[str, list[str]] = defaultdict(list)
    for fault, entry in faults:
        entries_of[fault].append(entry)
    if entries_of:
        listed = (
            f"{fault} ({len(entries)}: {', '.join(entries[:_SHOWN])}{', ...' if len(entries) > _SHOWN else ''})"
            for fault, entries in entries_of.items()
        )
        raise AnnotationError(f"{path}: {'; '.join(listed)}. Fix: correct or remove these entries")


def _faults_of_categories(categories: list[dict], annotations: list[dict]) -> Iterator[tuple[str, str]]:
    used = {one["category_id"] for one in annotations if _is_id(one.get("category_id"))}
    ids, names = set(), set()
    for number, category in enumerate(categories):
        if not {"id", "name"} <= category.keys():
            yield "categories without id or name", f"number {number}"
            continue
        identifier, name = category["id"], category["name"]
        if not _is_id(identifier) or isinstance(identifier, str) or identifier < 0:
            yield "category ids that are no whole numbers from 0", f"{identifier!r}"
            continue
        if not _is_text(name):
            yield "category names that are no text", f"{name!r} of id {identifier}"
            continue
        if identifier in ids:
            yield "category ids that occur twice", f"{identifier}"
        if identifier in used and name in names:
            yield "category names that occur twice", f"{name!r}"
        ids.add(identifier)
        names |= {name} if identifier in used else set()


def _faults_of_images(images: list[dict], pictures: bool) -> Iterator[tuple[str, str]]:
    ids: dict[int | str, None] = {}  # in their order
    needed = ("id", "file_name", "width", "height") if pictures else ("id",)
    for number, image in enumerate(images):
        absent = [key for key in needed if key not in image]
        if absent:
            yield f"images without {' and '.join(absent)}", f"number {number}"
            continue
        if not _is_id(image["id"]):
            yield "image ids that are neither whole numbers nor texts", f"{image['id']!r}"
            continue
        if image["id"] in ids:
            yield "image ids that occur twice", f"{image['id']}"
        if pictures and not _is_text(image["file_name"]):
            yield "images whose file_name is no text", f"image {image['id']}"
        if pictures and not all(_is_number(image[side]) and image[side] >= 1 for side in ("width", "height")):
            yield "images whose width or height is no positive number", f"{image['file_name']}"
        ids[image["id"]] = None
    texts = [one for one in ids if isinstance(one, str)]
    for text in texts if len(texts) < len(ids) else ():
        yield "image ids that are texts beside others that are numbers", f"{text!r}"


def _faults_of_annotations(
    annotations: list[dict], images: list[dict], categories: list[dict]
) -> Iterator[tuple[str, str]]:
    known_images, known_categories = (
        {entry["id"] for entry in entries if _is_id(entry.get("id"))} for entries in (images, categories)
    )
    ids = set()
    for number, annotation in enumerate(annotations):
        absent = [key for key in ("image_id", "category_id", "bbox") if key not in annotation]
        name = f"annotation {annotation.get('id', f'number {number}')}"
        if absent:
            yield f"annotations without {' and '.join(absent)}", name
            continue
        odd = [key for key in ("id", "image_id", "category_id") if key in annotation and not _is_id(annotation[key])]
        if odd:
            yield f"annotations whose {' and '.join(odd)} is neither a whole number nor a text", f"number {number}"
            continue
        if "id" in annotation and annotation["id"] in ids:
            yield "annotation ids that occur twice", f"{annotation['id']}"
        if annotation["image_id"] not in known_images:
            yield "annotations of an image that is not listed", f"{name} of image {annotation['image_id']}"
        if annotation["category_id"] not in known_categories:
            yield "annotations of a category that is not listed", f"{name} of category {annotation['category_id']}"
        box = annotation["bbox"]
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            yield "boxes that are not four finite numbers x, y, w, h", f"{name}: {box}"
        if not all(_is_number(annotation.get(key, 0)) for key in _OPTIONAL):
            yield f"annotations whose {' or '.join(_OPTIONAL)} is no number", name
        ids.add(annotation.get("id"))


def _without_nulls(annotation: dict) -> dict:
    absent = [key for key in _OPTIONAL if key in annotation and annotation[key] is None]
    return {key: value for key, value in annotation.items() if key not in absent} if absent else annotation


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
