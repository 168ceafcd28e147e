"""Reading annotations in Pascal VOC's format: a list of names, and an XML file and a picture for each name."""

from __future__ import annotations

import math
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from io import BytesIO
from xml.etree import ElementTree

from mmengine.fileio import get, list_dir_or_file, list_from_file
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from mmrepro.datasets.coco_file import AnnotationError, CocoFile, refuse

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(list_file: str, annotations: str, pictures: str, backend_args: dict | None = None) -> CocoFile:
    """Read and check the annotations of a list of names, as :func:`mmrepro.datasets.coco_file.read_coco` does.

    Coordinates of pixels count from 1 and are read as from 0, as in mmdet, so that its ``VOCMetric`` gives VOC's
    numbers. Boxes of negative or no size and boxes beyond the image are in order. Image ids are the names, in the
    order of the list; categories are the names that objects have, by the alphabet; an annotation has ``difficult``, 0
    or 1. A picture that is not there has the file name ``<name>.*``.

    Args:
        list_file: a name per line, without a suffix (``ImageSets/Main/train.txt``); names may have folders.
        annotations: folder of the XML files.
        pictures: folder of the pictures, of any suffix that torchvision knows.
        backend_args: of mmengine's file backend.

    Raises:
        FileNotFoundError: there is no such list.
        AnnotationError: the list is empty or names something twice, or XML files are missing or cannot be used. All
            faults are counted, and the first of each kind are named.
    """
    names = [line.strip() for line in list_from_file(list_file, backend_args=backend_args) if line.strip()]
    if not names:
        raise AnnotationError(f"{list_file} is empty. Fix: a name per line, such as those of the XML files")
    candidates = _pictures(pictures, backend_args)
    faults = [("names that occur twice", name) for name, count in Counter(names).items() if count > 1]
    images, objects = [], {}
    for name in names:
        path = posixpath.join(annotations, f"{name}.xml")
        try:
            root = ElementTree.fromstring(get(path, backend_args=backend_args))
        except FileNotFoundError:
            faults.append(("names (without suffix) that have no XML file", path))
            continue
        except ElementTree.ParseError as error:
            faults.append(("files that are no XML", f"{path}: {error}"))
            continue
        found = candidates.get(name, [])
        if len(found) > 1:
            found = [file for file in found if posixpath.basename(file) == root.findtext("filename")]
            faults += [] if found else [("names that several pictures have", f"{name}: {', '.join(candidates[name])}")]
        file_name = found[0] if found else f"{name}.*"
        size = _size(root) or (_size_of_picture(posixpath.join(pictures, file_name), backend_args) if found else (1, 1))
        if size is None:
            faults.append(("pictures whose size neither the XML file nor the picture tells", path))
            continue
        images.append(dict(id=name, file_name=file_name, width=size[0], height=size[1]))
        objects[name] = list(_objects(root))
        faults += [(fault, f"{path}, object {number}") for number, fault, _ in objects[name] if fault]
    refuse(list_file, *faults)
    return _as_coco(list_file, images, {name: [one for _, _, one in ones] for name, ones in objects.items()})


def _pictures(folder: str, backend_args: dict | None) -> dict[str, list[str]]:
    """Return the picture files of a folder and those in it, by their names without suffix (``day1/0001``)."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        for file in sorted(list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=backend_args)):
            stem, suffix = posixpath.splitext(file)
            if suffix.lower() in IMG_EXTENSIONS:
                found[stem].append(file)
    except FileNotFoundError:
        pass  # then every picture is missing, which the data set says
    return found


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return width and height of the XML file; some programs leave them out or write 0."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}", "0"))) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if min(width, height) > 0 else None


def _size_of_picture(path: str, backend_args: dict | None) -> tuple[int, int] | None:
    try:
        with Image.open(BytesIO(get(path, backend_args=backend_args))) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):  # Pillow's, by format
        return None


def _objects(root: ElementTree.Element) -> Iterator[tuple[int, str, dict]]:
    """Return each object's number, its fault or nothing, and its annotation."""
    for number, one in enumerate(root.iter("object")):
        name, difficult = (one.findtext("name") or "").strip(), (one.findtext("difficult") or "0").strip()
        try:
            corners = [float(one.findtext(f"bndbox/{corner}", "")) - 1 for corner in _CORNERS]
        except ValueError:
            corners = [math.nan]
        if not name:
            yield number, "objects without a name", {}
        elif not all(map(math.isfinite, corners)):
            yield number, f"objects whose bndbox is not four numbers {', '.join(_CORNERS)}", {}
        elif difficult not in ("0", "1"):
            yield number, "objects whose difficult is neither 0 nor 1", {}
        else:
            left, top, right, bottom = corners
            yield number, "", dict(name=name, bbox=[left, top, right - left, bottom - top], difficult=int(difficult))


def _as_coco(path: str, images: list[dict], objects: dict[str, Iterable[dict]]) -> CocoFile:
    names = sorted({one["name"] for ones in objects.values() for one in ones})
    number_of = {name: number for number, name in enumerate(names)}
    return CocoFile(
        path,
        images,
        [dict(id=number, name=name) for name, number in number_of.items()],
        {
            image: [dict(one, image_id=image, category_id=number_of[one["name"]]) for one in ones]
            for image, ones in objects.items()
            if ones
        },
    )
