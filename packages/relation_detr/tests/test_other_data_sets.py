"""SA-Det-100k and Objects365: files known to be bad, missing ones, and pictures of another size than annotated."""

import json

import pytest
from PIL import Image

from mm_relation_detr.datasets.objects365 import RelationObjects365Dataset
from mm_relation_detr.datasets.sa_det_100k import TRUNCATED, UNREADABLE, SADet100kDataset
from mmrepro.detection import detr_coco

SIZE = (40, 30)
CATEGORIES = [dict(id=3, name="car"), dict(id=7, name="train")]
PIPELINE = [
    dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


@pytest.fixture
def write(tmp_path):
    """Write pictures and an annotation file, boxes of each image as (category, box)."""

    def write(boxes, names=None, folder=tmp_path, categories=CATEGORIES):
        names = names or [f"{number}.png" for number in range(len(boxes))]
        images, annotations = [], []
        for number, (name, ones) in enumerate(zip(names, boxes, strict=True)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE, (90, 20, 200)).save(path)
            images.append(dict(id=number, file_name=name, width=SIZE[0], height=SIZE[1]))
            for category, box in ones:
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=category,
                        bbox=box,
                        area=box[2] * box[3],
                        iscrowd=0,
                    )
                )
        file = folder / "train.json"
        file.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
        # Serialising collects garbage, a second each time.
        return dict(ann_file=str(file), data_prefix=dict(img=str(folder)), serialize_data=False)

    return write


@pytest.fixture
def log(monkeypatch):
    """What the data set says; mmengine's logger keeps the first standard output it saw."""
    said = []
    monkeypatch.setattr(detr_coco, "print_log", lambda message, logger, level=None: said.append(message))
    return said


def ids(dataset):
    return [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]


def test_broken_pictures_are_skipped_and_counted(write, tmp_path, log):
    names = ["good.jpg", "cut.jpg", "empty.jpg", "text.jpg", UNREADABLE[0], TRUNCATED[0], "cut.png"]
    given = write([[(1, [0, 0, 9, 9])]] * 7, names, categories=[dict(id=1, name="objects")])
    for name in ("cut.jpg", "cut.png"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    dataset = SADet100kDataset(**given)
    assert ids(dataset) == [0]
    assert {name: dataset.skipped_images[str(tmp_path / name)] for name in names[1:]} == {
        "cut.jpg": "cut off",
        "empty.jpg": "empty",
        "text.jpg": "no picture",
        UNREADABLE[0]: "known to be bad",
        TRUNCATED[0]: "known to be bad",
        "cut.png": "cut off",
    }
    assert "6 of 7 images are left out" in log[0]
    assert ids(SADet100kDataset(**given, known_bad_images=())) == [0, 4, 5]


def test_the_known_files_are_sixteen():
    assert len({*UNREADABLE, *TRUNCATED}) == 16


@pytest.mark.parametrize("testing", [False, True])
@pytest.mark.parametrize("kind", [RelationObjects365Dataset, SADet100kDataset])
def test_a_picture_of_another_size_is_taken_as_officially_and_named(write, tmp_path, log, kind, testing):
    """Its boxes end where it ends, once the augmentation has resized it."""
    boxes = [(1, [0, 0, 30, 9]), (1, [25, 20, 9, 9])]
    given = write([[(1, [0, 0, 9, 9])], boxes], ["p/a.jpg", "p/b.jpg"], categories=[dict(id=1, name="objects")])
    Image.new("RGB", (20, 15)).save(tmp_path / "p" / "b.jpg")
    augmented = dict(type="DETRAugmentation", short_sides=(15,), first_short_sides=(15,), flip_prob=0.0)
    steps = PIPELINE if testing else [*PIPELINE[:2], augmented, PIPELINE[2]]
    dataset = kind(**given, pipeline=steps, test_mode=testing)
    dataset[0]
    samples = [dataset.prepare_data(1)["data_samples"] for _ in range(2)]
    assert [sample.ori_shape for sample in samples] == [(15, 20)] * 2
    if not testing:
        assert [sample.gt_instances.bboxes.tensor.tolist() for sample in samples] == [[[0, 0, 20, 9]]] * 2
    (said,) = log
    assert "b.jpg, listed in" in said
    assert "is taken all the same: it has 20 x 15 pixels" in said
    assert dataset.skipped_images == {}


def test_objects365_takes_the_last_folder_and_says_which_are_missing(write, tmp_path, log):
    names = ["images/v1/patch8/a.jpg", "images/v2/patch16/b.jpg"]
    given = write([[(7, [0, 0, 9, 9])]] * 2, names)
    for name in ("patch8", "patch16"):
        (tmp_path / name).mkdir()
    (tmp_path / names[0]).rename(tmp_path / "patch8" / "a.jpg")
    dataset = RelationObjects365Dataset(**given)
    assert ids(dataset) == [0]
    assert "1 of 2 images are left out (1 missing): " in log[0]
    assert dataset.get_data_info(0)["img_path"] == str(tmp_path / "patch8" / "a.jpg")
