"""Generated COCO data: what pycocotools reads is what the pictures show."""

import json

import numpy as np
import pytest
from PIL import Image

from mmrepro.datasets.generated.coco_shapes import (
    ANNOTATIONS,
    CATEGORIES,
    EMPTY_EVERY,
    PICTURES,
    coco_folder,
    shapes_picture,
)

coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is no dependency of the core")


@pytest.fixture(scope="module")
def folder():
    return coco_folder(count=EMPTY_EVERY, size=96)


@pytest.fixture(scope="module")
def api(folder):
    return coco.COCO(folder / ANNOTATIONS)


def test_the_same_pictures_every_time_and_others_by_seed():
    picture, shapes = shapes_picture(64, seed=3)
    again, _ = shapes_picture(64, seed=3)
    np.testing.assert_array_equal(again, picture)
    other, _ = shapes_picture(64, seed=4)
    assert other.shape != picture.shape or (other != picture).any()
    assert 1 <= len(shapes) <= 3


def test_files_are_what_the_list_says(folder, api):
    for image in api.loadImgs(api.getImgIds()):
        with Image.open(folder / PICTURES / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
            assert picture.mode == "RGB"
    assert len(api.imgs) == EMPTY_EVERY
    assert {number: category["name"] for number, category in api.cats.items()} == CATEGORIES
    assert len({image["width"] / image["height"] for image in api.imgs.values()}) > 1


def test_one_picture_has_no_object_and_all_categories_occur(api):
    counts = [len(api.getAnnIds(imgIds=number)) for number in api.getImgIds()]
    assert counts.count(0) == 1
    assert {annotation["category_id"] for annotation in api.anns.values()} == set(CATEGORIES)


def test_boxes_masks_and_areas_agree(api):
    for annotation in api.anns.values():
        mask = api.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        left, top, width, height = annotation["bbox"]
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(found, [left, top, left + width, top + height], atol=1.5)
        assert annotation["area"] == pytest.approx(mask.sum(), rel=0.1, abs=6)
        assert mask.sum() > 20


def test_objects_do_not_hide_each_other_and_are_seen_where_their_masks_are(folder, api):
    for image in api.imgs.values():
        masks = [api.annToMask(one) for one in api.loadAnns(api.getAnnIds(imgIds=image["id"]))]
        assert not masks or np.max(np.sum(masks, axis=0)) == 1
        with Image.open(folder / PICTURES / image["file_name"]) as opened:
            colours = np.ptp(np.asarray(opened).astype(int), axis=2)
        grey = colours < 45  # the ground's noise is less, the objects' hue more
        for mask in masks:
            assert grey[mask == 1].mean() < 0.2
        ground = np.sum(masks, axis=0) == 0 if masks else np.ones_like(grey)
        assert grey[ground].mean() > 0.9


def test_jpeg_files():
    listed = json.loads((coco_folder(count=1, size=32, suffix=".jpg") / ANNOTATIONS).read_text())
    assert listed["images"][0]["file_name"] == "000000000001.jpg"
    with Image.open(coco_folder(count=1, size=32, suffix=".jpg") / PICTURES / "000000000001.jpg") as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(count=0), "count=0"),
        (dict(size=8), "size=8"),
        (dict(objects=-1), "objects=-1"),
        (dict(suffix=".gif"), r"suffix='\.gif' must be one of"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        coco_folder(**settings)
