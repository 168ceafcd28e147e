"""Drawings of the decoder: the right keys are chosen, and every drawing is a picture."""

import numpy as np
import pytest
from PIL import Image

from mm_relation_detr.trace import Trace
from mm_relation_detr.visualization import draw_detections, draw_head_biases, draw_refinement, draw_relations

LAYERS, HEADS, QUERIES = 6, 8, 20
CLASSES = ("disc", "square")


@pytest.fixture
def trace():
    draw = np.random.default_rng(0)
    corner = draw.uniform(0, 60, (QUERIES, 2))
    boxes = np.concatenate([corner, corner + draw.uniform(8, 30, (QUERIES, 2))], axis=1)
    return Trace(
        boxes=boxes + draw.normal(0, 2, (LAYERS, QUERIES, 4)),
        scores=np.linspace(0.95, 0.05, QUERIES),
        labels=draw.integers(0, 2, QUERIES),
        relations=np.maximum(draw.normal(0.5, 1, (LAYERS - 1, HEADS, QUERIES, QUERIES)), 0),
    )


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def is_picture(path):
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and len(set(image.convert("L").tobytes())) > 20


def test_the_best_queries_are_those_above_the_threshold_and_never_none(trace):
    assert trace.best(0.5).tolist() == list(range(10))
    assert trace.best(0.5, limit=3).tolist() == [0, 1, 2]
    assert trace.best(2.0).tolist() == [0]


def test_of_boxes_on_one_object_the_best_one_is_chosen(trace):
    trace.boxes[-1] = [[50.0 * place, 0, 50.0 * place + 10, 10] for place in range(QUERIES)]
    trace.boxes[-1, 3] = trace.boxes[-1, 0] + [1, 1, 1, 1]  # IoU 81 / 119
    trace.boxes[-1, 4] = trace.boxes[-1, 1] + [6, 0, 6, 0]  # IoU 4 / 16
    assert trace.best(0.7, overlap=0.5).tolist() == [0, 1, 2, 4, 5]
    assert trace.best(0.7, overlap=0.7).tolist() == [0, 1, 2, 3, 4, 5]
    assert trace.best(0.7, limit=4, overlap=0.5).tolist() == [0, 1, 2, 4]


def test_the_strongest_keys_are_those_with_the_largest_mean_over_the_heads(trace):
    trace.relations[2, :, 4, 7] = 9
    trace.relations[2, :, 4, 4] = 99  # the query itself does not count
    trace.relations[2, 0, 4, 8] = 50  # one head alone: 50 / 8 is less than 9
    keys, bias = trace.strongest_keys(layer=3, query=4, among=np.arange(10), limit=2)
    assert keys.tolist() == [7, 8]
    np.testing.assert_allclose(bias, trace.relations[2, :, 4, keys].mean(1))
    assert trace.strongest_keys(3, 4, np.array([4]), 2)[0].tolist() == []


def test_a_layer_without_relation_and_an_unknown_query_are_named(trace, picture, tmp_path):
    with pytest.raises(IndexError, match="layer 0 has no relation bias: those that have one are 1 to 5"):
        trace.strongest_keys(0, 0, np.arange(3), 2)
    with pytest.raises(IndexError, match="no query 20: they are 0 to 19"):
        draw_relations(picture, trace, tmp_path / "a.png", query=20)
    with pytest.raises(IndexError, match=r"queries=\[3, 20\]: they are 0 to 19"):
        draw_refinement(picture, trace, tmp_path / "a.png", queries=[3, 20])
    with pytest.raises(IndexError, match="layer 6 has no relation bias: those that have one are 1 to 5"):
        draw_head_biases(picture, trace, tmp_path / "a.png", layer=6)
    assert list(tmp_path.iterdir()) == []


def test_every_drawing_is_a_picture(trace, picture, tmp_path):
    drawn = [
        draw_relations(picture, trace, tmp_path / "relations.png", query=3, classes=CLASSES),
        draw_head_biases(picture, trace, tmp_path / "heads.png", classes=CLASSES),
        draw_refinement(picture, trace, tmp_path / "refinement.png", classes=CLASSES),
    ]
    assert all(is_picture(path) for path in drawn)
    other = draw_relations(picture, trace, tmp_path / "other.png", query=5, classes=CLASSES)
    assert other.read_bytes() != drawn[0].read_bytes()


def test_a_picture_with_a_single_detection_and_biases_of_zero_can_be_drawn(trace, picture, tmp_path):
    alone = Trace(trace.boxes, np.where(np.arange(QUERIES) == 2, 0.9, 0.01), trace.labels, 0 * trace.relations)
    assert is_picture(draw_relations(picture, alone, tmp_path / "relations.png"))
    assert is_picture(draw_relations(picture, alone, tmp_path / "all.png", threshold=0))
    draw_head_biases(picture, alone, tmp_path / "heads.png")


def test_detections_below_the_threshold_are_not_drawn_and_annotated_boxes_are(picture, tmp_path):
    boxes = np.array([[10.0, 10, 40, 50], [60, 20, 90, 80]])
    found = dict(boxes=boxes, scores=np.array([0.9, 0.2]), labels=np.array([0, 1]), classes=CLASSES)

    def drawn(name, threshold=0.3, **changed):
        return draw_detections(picture, path=tmp_path / name, threshold=threshold, **found | changed).read_bytes()

    assert is_picture(draw_detections(picture, path=tmp_path / "a.png", **found))
    assert drawn("b.png", labels=np.array([0, 0])) == drawn("a.png")
    assert drawn("b.png", labels=np.array([1, 1])) != drawn("a.png")
    assert drawn("c.png", threshold=0.1) != drawn("a.png")
    assert drawn("d.png", truth=boxes[:1] + 5) != drawn("a.png")
    none = dict(boxes=np.empty((0, 4)), scores=np.empty(0), labels=np.empty(0, int))
    assert is_picture(draw_detections(picture, path=tmp_path / "none.png", **none))


def test_a_box_that_overlaps_a_better_one_of_its_class_has_no_label(picture, tmp_path):
    def drawn(name, second_score, labels):
        found = dict(boxes=np.array([[10.0, 10, 60, 80]] * 2), scores=np.array([0.9, second_score]))
        return draw_detections(picture, labels=np.array(labels), path=tmp_path / name, **found).read_bytes()

    assert drawn("a.png", 0.5, [0, 0]) == drawn("b.png", 0.6, [0, 0])
    assert drawn("a.png", 0.5, [0, 1]) != drawn("b.png", 0.6, [0, 1])


def test_a_detector_without_relation_says_so(trace, picture, tmp_path):
    without = Trace(trace.boxes, trace.scores, trace.labels, trace.relations[:0])
    with pytest.raises(ValueError, match="uses no position relation"):
        draw_relations(picture, without, tmp_path / "a.png")
    assert is_picture(draw_refinement(picture, without, tmp_path / "b.png"))
