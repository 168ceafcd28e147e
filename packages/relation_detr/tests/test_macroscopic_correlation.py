"""The correlation of boxes: bounds, undefined cases, files of both kinds, the metric, and the tool with its picture."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mm_relation_detr.evaluation.macroscopic_correlation import (
    MacroscopicCorrelation,
    boxes_of_json,
    correlations,
    distribution,
    draw,
    macroscopic_correlation,
)
from mmrepro.datasets.coco_file import AnnotationError

TOOL = Path(__file__).resolve().parents[1] / "tools" / "mc_metric.py"


def test_boxes_that_are_multiples_of_one_another_correlate_fully():
    box = np.array([3.0, 9.0, 4.0, 8.0])
    assert macroscopic_correlation(np.stack([box, 2 * box, 5 - box])) == pytest.approx(1)


def test_it_is_numpys_correlation():
    boxes = np.random.default_rng(0).uniform(0, 300, (40, 4))
    expected = (np.abs(np.corrcoef(boxes)).sum() - 40) / (40 * 39)
    assert macroscopic_correlation(boxes) == pytest.approx(expected, abs=1e-14)


def test_uncorrelated_boxes():
    assert macroscopic_correlation(np.array([[1, -1, 1, -1], [1, 1, -1, -1]])) == pytest.approx(0)


def test_one_box_and_boxes_of_equal_numbers_are_undefined():
    assert np.isnan(macroscopic_correlation(np.ones((1, 4))))
    assert np.isnan(macroscopic_correlation(np.array([[5, 5, 5, 5], [1, 2, 3, 4]])))
    assert len(correlations([np.ones((1, 4)), np.empty((0, 4))])) == 0
    found = distribution(np.array([np.nan, 0.25, 0.75]), bins=4)
    assert (found.images, found.undefined, found.mean, found.median) == (2, 1, 0.5, 0.5)
    assert found.density.tolist() == [0, 2, 0, 2]


def test_a_distribution_of_nothing():
    found = distribution(np.empty(0))
    assert found.images == 0
    assert np.isnan(found.mean)
    assert found.density.sum() == 0


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(1)
    boxes = {image: random.uniform(1, 90, (5, 4)).tolist() for image in range(6)} | {6: [[1, 2, 3, 4]]}
    annotations = [
        dict(id=number, image_id=image, category_id=1, bbox=box, iscrowd=number % 2)
        for number, (image, box) in enumerate((image, box) for image, ones in boxes.items() for box in ones)
    ]
    content = dict(
        images=[dict(id=image) for image in boxes], categories=[dict(id=1, name="a")], annotations=annotations
    )
    results = [dict(image_id=one["image_id"], category_id=1, bbox=one["bbox"], score=0.5) for one in annotations]
    results.append(dict(image_id=0, category_id=1, bbox=[1, 1, 1, 1], score=0.1))
    paths = tmp_path / "train.json", tmp_path / "results.json"
    for path, what in zip(paths, (content, results), strict=True):
        path.write_text(json.dumps(what))
    return paths


def test_annotations_and_results_are_read_alike(files):
    one, two = (boxes_of_json(path, min_score=0.3) for path in files)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[image], two[image]) for image in one)
    assert len(boxes_of_json(files[1])[0]) == 6


@pytest.mark.parametrize(
    ("written", "said"), [("{", "no JSON"), ("[1]", "entry 0 has not image_id"), ("{}", "no list")]
)
def test_other_files_are_refused(tmp_path, written, said):
    path = tmp_path / "a.json"
    path.write_text(written)
    with pytest.raises(AnnotationError, match=rf"a\.json.*{said}.*Fix"):
        boxes_of_json(path)


def test_the_drawing_shows_each_set(tmp_path):
    draw({"wide": np.linspace(0, 1, 50), "one value": np.full(9, 0.4), "empty": np.empty(0)}, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100


def test_the_metric_averages_over_images():
    metric = MacroscopicCorrelation(min_score=0.3)
    boxes = np.random.default_rng(2).uniform(1, 90, (4, 4))
    corners = torch.from_numpy(boxes.copy())
    corners[:, 2:] += corners[:, :2]
    for scores in ([0.9, 0.8, 0.1, 0.3], [0.9, 0.1, 0.1, 0.1], [0.1, 0.9, 0.1, 0.9]):
        metric.process({}, [dict(pred_instances=dict(bboxes=corners, scores=torch.tensor(scores).double()))])
    expected = (macroscopic_correlation(boxes[[0, 1, 3]]) + macroscopic_correlation(boxes[[1, 3]])) / 2
    assert metric.evaluate(3) == pytest.approx({"mc/mean": expected, "mc/images": 2})


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("mm_relation_detr_mc_metric", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_prints_draws_and_writes(tool, files, tmp_path, capsys):
    out, numbers = tmp_path / "new" / "mc.png", tmp_path / "other" / "mc.json"
    tool.main([*map(str, files), "--out", str(out), "--json", str(numbers), "--bins", "10"])
    said = capsys.readouterr().out.splitlines()
    mean = np.mean(correlations(boxes_of_json(files[0]).values()))
    assert f"train.json: mean {mean:.4f}, median" in said[0]
    assert said[1].endswith("over 6 images with two boxes or more")
    assert Image.open(out).size == (1050, 600)
    written = json.loads(numbers.read_text())[str(files[0])]
    assert written["mean"] == pytest.approx(mean)
    assert len(written["density"]) == 10


def test_the_tool_names_a_faulty_file_in_one_line(tool, tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*nothing\.json"):
        tool.main([str(tmp_path / "nothing.json")])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"error: .*a\.json has no list of objects as images"):
        tool.main([str(tmp_path / "a.json")])
