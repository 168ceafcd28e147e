"""Drawings: what is left out, what is named, and every one is a picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.trace import Attention, Trace
from mm_vidt.visualization import Objects, draw_attention, draw_coefficients, draw_objects, draw_refinement

LEVELS, FOUND, KEPT = 7, 5, 20
CLASSES = ("disc", "square")


@pytest.fixture
def trace():
    draw = np.random.default_rng(0)
    corner = draw.uniform(0, 60, (FOUND, 2))
    boxes = np.concatenate([corner, corner + draw.uniform(8, 30, (FOUND, 2))], 1)
    weights = draw.uniform(0, 1, (FOUND, 3, 4))
    return Trace(
        boxes=(boxes + draw.normal(0, 2, (LEVELS, FOUND, 4))).astype(np.float32),
        scores=np.linspace(0.95, 0.2, FOUND, dtype=np.float32) * np.ones((LEVELS, 1), np.float32),
        labels=draw.integers(0, 2, FOUND),
        attention=[Attention(3, block, weights / weights.sum() * (block + 1), (128.0, 96.0)) for block in range(2)],
        vectors=draw.normal(0, 1, (FOUND, KEPT)).astype(np.float32),
    )


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def is_picture(path):
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and len(set(image.convert("L").tobytes())) > 20


def test_every_drawing_is_a_picture_and_another_detection_gives_another_one(trace, picture, tmp_path):
    coder = DCTMaskCoder(32, KEPT)

    def drawn(detection):
        return [
            draw_attention(picture, trace, tmp_path / f"attention_{detection}.png", detection, CLASSES),
            draw_coefficients(picture, trace, coder, tmp_path / f"mask_{detection}.png", detection, (4, 16), CLASSES),
        ]

    assert is_picture(draw_refinement(picture, trace, tmp_path / "refinement.png", classes=CLASSES))
    for one, other in zip(drawn(0), drawn(3), strict=True):
        assert is_picture(one)
        assert one.read_bytes() != other.read_bytes()


def test_detections_below_the_threshold_are_not_drawn_but_the_best_one_is(trace, picture, tmp_path):
    def drawn(threshold):
        return draw_refinement(picture, trace, tmp_path / "drawn.png", threshold).read_bytes()

    assert drawn(0.9) == drawn(2.0) != drawn(0.3)


def test_masks_are_decoded_from_the_first_coefficients(trace, picture, tmp_path):
    """Coefficients beyond the largest number that is shown, all of them aside, change nothing but the last column."""
    coder = DCTMaskCoder(32, KEPT)
    decoded = []
    decode = coder.decode
    coder.decode = lambda vectors: decoded.append(vectors) or decode(vectors)
    draw_coefficients(picture, trace, coder, tmp_path / "mask.png", 1, (64, 4, 16))
    kept = [(one != 0).sum().item() for one in decoded[0]]
    assert kept == [4, 16, KEPT]
    torch.testing.assert_close(decoded[0][0, :4], torch.from_numpy(trace.vectors[1, :4]))


def test_objects_are_drawn_with_their_masks_and_thin_where_a_better_one_is(picture, tmp_path):
    boxes, labels = np.array([[10.0, 10, 60, 80], [12, 10, 60, 80]], np.float32), np.array([0, 0])
    masks = np.zeros((2, 90, 120), bool)
    masks[:, 20:70, 20:50] = True

    def drawn(scores=(0.9, 0.5), masks=masks, labels=labels, threshold=0.3):
        some = Objects(boxes, labels, np.array(scores, np.float32), masks)
        return draw_objects(picture, {"predicted": some}, tmp_path / "a.png", threshold, CLASSES).read_bytes()

    assert drawn() != drawn(masks=None)
    assert drawn() == drawn(scores=(0.9, 0.6))  # the second is thin, without a label
    assert drawn() != drawn(scores=(0.9, 0.6), labels=np.array([0, 1]))
    assert drawn(masks=masks * np.array([True, False])[:, None, None]) == drawn()  # its mask is not drawn either
    assert drawn(threshold=0.6) == drawn(scores=(0.9, 0.1), threshold=0.6)
    assert drawn(threshold=0.95) != drawn(threshold=0.6)


def test_annotations_and_predictions_stand_side_by_side_and_may_be_none(picture, tmp_path):
    truth = Objects(np.array([[10.0, 10, 60, 80]]), np.array([1]))
    none = Objects(np.empty((0, 4)), np.empty(0, int), np.empty(0), np.empty((0, 90, 120), bool))
    path = draw_objects(picture, {"annotated": truth, "predicted": none}, tmp_path / "both.png")
    assert is_picture(path)
    with Image.open(path) as both, Image.open(draw_objects(picture, {"x": none}, tmp_path / "one.png")) as one:
        assert both.width / both.height > 1.5 * one.width / one.height


def test_a_box_beside_the_picture_and_an_empty_mask_can_be_drawn(trace, picture, tmp_path):
    beside = Trace(trace.boxes + 500, trace.scores, trace.labels, trace.attention, trace.vectors)
    assert is_picture(draw_refinement(picture, beside, tmp_path / "a.png"))
    assert is_picture(draw_attention(picture, beside, tmp_path / "b.png"))
    assert is_picture(draw_coefficients(picture, beside, DCTMaskCoder(32, KEPT), tmp_path / "c.png"))


def test_what_is_not_there_is_named(trace, picture, tmp_path):
    bare = Trace(trace.boxes, trace.scores, trace.labels, [], None)
    coder = DCTMaskCoder(32, KEPT)
    with pytest.raises(ValueError, match="no cross stage"):
        draw_attention(picture, bare, tmp_path / "a.png")
    with pytest.raises(ValueError, match="gives no masks"):
        draw_coefficients(picture, bare, coder, tmp_path / "a.png")
    for draw in (
        lambda: draw_attention(picture, trace, tmp_path / "a.png", 5),
        lambda: draw_coefficients(picture, trace, coder, tmp_path / "a.png", -1),
    ):
        with pytest.raises(IndexError, match=r"no detection (5|-1): they are 0 to 4"):
            draw()
    assert list(tmp_path.iterdir()) == []
