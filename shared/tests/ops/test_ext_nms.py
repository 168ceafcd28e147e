"""Non-maximum suppression against direct loops in float64, and mmcv's rules for ties, thresholds and bad boxes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrepro.ops.ext.nms import nms, nms_match, softnms

SEEDS = st.integers(0, 2**32 - 1)
THRESHOLD = 0.4321  # between any two overlaps of boxes with whole sides, so that rounding decides nothing


def iou(first: list[float], second: list[float], offset: int) -> float:
    def area(x1, y1, x2, y2):
        return (x2 - x1 + offset) * (y2 - y1 + offset)

    width = min(first[2], second[2]) - max(first[0], second[0]) + offset
    height = min(first[3], second[3]) - max(first[1], second[1]) + offset
    intersection = max(width, 0) * max(height, 0)
    union = area(*first) + area(*second) - intersection
    return intersection / union if union else math.nan


def draw(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes with whole corners, some without area, some reversed; scores that all differ."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 12, (count, 2), generator=generator)
    boxes = torch.cat((corner, corner + torch.randint(-1, 12, (count, 2), generator=generator)), dim=1)
    return boxes.float(), (torch.randperm(count, generator=generator) + 1) / (count + 1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, count=st.integers(0, 25), offset=st.integers(0, 1))
def test_nms_keeps_what_no_better_kept_box_overlaps(seed, count, offset):
    boxes, scores = draw(seed, count)
    rows, kept = boxes.tolist(), []
    for index in sorted(range(count), key=lambda one: -scores[one]):
        if not any(iou(rows[index], rows[better], offset) > THRESHOLD for better in kept):
            kept.append(index)

    indices = nms(boxes=boxes, scores=scores, iou_threshold=THRESHOLD, offset=offset)

    assert indices.dtype == torch.int64
    assert indices.tolist() == kept


@pytest.mark.parametrize(("overlap", "width"), [(0.1, 1.0), (0.5, 5.0), (0.7, 7.0)])
def test_nms_keeps_an_overlap_of_exactly_the_threshold(overlap, width):
    # In float32 as in mmcv: float32(0.1) lies above the Python 0.1 and float32(0.7) below 0.7.
    boxes = torch.tensor([[0, 0, 10, 1], [0, 0, width, 1]])
    scores = torch.tensor([0.9, 0.8])

    assert nms(boxes, scores, overlap, 0).tolist() == [0, 1]
    assert nms(boxes, scores, overlap - 1e-6, 0).tolist() == [0]


def test_nms_offset_makes_one_pixel_boxes_overlap():
    boxes, scores = torch.tensor([[3.0, 3.0, 3.0, 3.0]] * 2), torch.tensor([0.2, 0.3])

    assert nms(boxes, scores, 0.5, 0).tolist() == [1, 0]  # without area: 0 / 0 is above no threshold
    assert nms(boxes, scores, 0.5, 1).tolist() == [1]


def test_the_lower_index_comes_first_among_equal_scores():
    count = 200  # from 17 on PyTorch's sort is not stable by itself on every machine
    corner = torch.arange(count, dtype=torch.float32)[:, None].expand(-1, 2) * 10
    boxes, scores = torch.cat((corner, corner + 5), dim=1), torch.arange(count) % 2 / 2
    order = [*range(1, count, 2), *range(0, count, 2)]

    assert nms(boxes, scores, 0.5, 0).tolist() == order
    assert nms_match(torch.cat((boxes, scores[:, None]), dim=1), 0.5) == [[index] for index in order]


def test_nms_counts_nan_as_the_best_score():
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [5, 5, 6, 6]])

    assert nms(boxes, torch.tensor([0.1, 0.9, math.nan]), 0.5, 0).tolist() == [2, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_nms_takes_any_float_type_and_mixes_them(dtype):
    boxes, scores = draw(3, 20)
    expected = nms(boxes, scores, THRESHOLD, 1)

    assert torch.equal(nms(boxes.to(dtype), scores, THRESHOLD, 1), expected)
    assert torch.equal(nms(boxes, scores.double(), THRESHOLD, 1), expected)


def soft_loop(boxes, scores, threshold, sigma, min_score, method, offset):
    """Take the best of the remaining boxes, lower the others, drop the low ones."""
    remaining, kept = dict(enumerate(scores)), []
    while remaining:
        best = max(remaining, key=remaining.get)
        kept.append((best, remaining.pop(best)))
        for index in list(remaining):
            overlap = iou(boxes[best], boxes[index], offset)
            if method == 2:
                remaining[index] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                remaining[index] *= (0, 1 - overlap)[method]
            if remaining[index] < min_score:
                del remaining[index]
    return kept


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, count=st.integers(0, 15), method=st.integers(0, 2), offset=st.integers(0, 1))
def test_softnms_is_the_loop(seed, count, method, offset):
    boxes, scores = draw(seed, count)
    corner, side = boxes[:, :2], (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)  # 0 / 0 has a test of its own
    boxes = torch.cat((corner, corner + side), dim=1)
    expected = soft_loop(boxes.tolist(), scores.double().tolist(), THRESHOLD, 0.5, 0.06, method, offset)
    dets = torch.full((count, 5), -7.0)

    indices = softnms(
        boxes, scores, dets, iou_threshold=THRESHOLD, sigma=0.5, min_score=0.06, method=method, offset=offset
    )

    kept = len(expected)
    assert indices.dtype == torch.int64
    assert indices.tolist() == [index for index, _ in expected]
    assert torch.equal(dets[:kept, :4], boxes[indices])
    # a product of up to 14 factors, each within a few roundings of float32
    torch.testing.assert_close(dets[:kept, 4], torch.tensor([one for _, one in expected]), rtol=1e-5, atol=0)
    assert (dets[kept:] == -7).all()


def test_softnms_fills_the_gaps_of_dropped_boxes_from_the_end():
    corner = torch.tensor([0.0, 0, 0, 10, 20, 30])[:, None].expand(-1, 2)  # 1 and 2 are dropped by 0

    indices = softnms(
        torch.cat((corner, corner + 4), dim=1), torch.full((6,), 0.5), torch.zeros(6, 5), 0.5, 0.5, 0.1, 0, 0
    )

    assert indices.tolist() == [0, 5, 4, 3]


def test_softnms_drops_at_the_threshold_and_keeps_at_the_lowest_score():
    boxes, dets = torch.tensor([[0.0, 0, 10, 1], [0, 0, 5, 1]]), torch.zeros(2, 5)

    assert softnms(boxes, torch.tensor([0.9, 0.8]), dets, 0.5, 0.5, 0.1, 0, 0).tolist() == [0]
    assert softnms(boxes, torch.tensor([0.9, 0.5]), dets, 0.5, 0.5, 0.25, 1, 0).tolist() == [0, 1]
    assert dets[1, 4] == 0.25


def test_softnms_with_nan():
    flat = torch.tensor([[1.0, 1, 1, 5]] * 2)  # 0 / 0: no overlap by threshold, NaN through the exponential
    dets = torch.zeros(2, 5)

    assert softnms(flat, torch.tensor([0.4, 0.6]), dets, 0.5, 0.5, 0.1, 1, 0).tolist() == [1, 0]
    assert dets[1, 4] == torch.tensor(0.4)
    assert softnms(flat, torch.tensor([0.4, 0.6]), dets, 0.5, 0.5, 0.1, 2, 0).tolist() == [1, 0]
    assert dets[1, 4].isnan()
    # the scan passes a NaN by, and does not leave one it starts at
    apart = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]])
    assert softnms(apart, torch.tensor([0.1, math.nan, 0.9]), torch.zeros(3, 5), 0.5, 0.5, 0, 1, 0).tolist() == [
        2,
        1,
        0,
    ]


def test_softnms_leaves_its_inputs_alone_and_names_a_wrong_method():
    boxes, scores = draw(5, 12)
    before = boxes.clone(), scores.clone()
    softnms(boxes, scores, torch.zeros(12, 5), 0.3, 0.5, 0.01, 2, 0)

    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])
    with pytest.raises(ValueError, match="method is 0"):
        softnms(boxes, scores, torch.zeros(12, 5), 0.3, 0.5, 0.01, 3, 0)


@pytest.mark.parametrize(
    ("boxes", "scores", "dets"),
    [((3, 4), (2,), (3, 5)), ((3, 4), (3,), (2, 5)), ((3, 4), (3,), (3, 4)), ((3, 5), (3,), (3, 5))],
)
def test_softnms_names_shapes_that_do_not_fit(boxes, scores, dets):
    with pytest.raises(ValueError, match=r"boxes \(N, 4\), scores \(N,\) and dets \(N, 5\) or longer, got \(3, [45]\)"):
        softnms(torch.zeros(boxes), torch.zeros(scores), torch.zeros(dets), 0.5, 0.5, 0.01, 1, 0)


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,)])
def test_nms_match_names_another_shape(shape):
    with pytest.raises(ValueError, match=r"dets is \(N, 5\)"):
        nms_match(torch.zeros(shape), 0.5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, count=st.integers(0, 25))
def test_nms_match_groups_each_box_with_the_one_that_suppresses_it(seed, count):
    boxes, scores = draw(seed, count)
    rows, groups = boxes.tolist(), []
    for index in sorted(range(count), key=lambda one: -scores[one]):
        for group in groups:
            if iou(rows[index], rows[group[0]], 0) >= THRESHOLD:
                group.append(index)
                break
        else:
            groups.append([index])

    assert nms_match(torch.cat((boxes, scores[:, None]), dim=1), iou_threshold=THRESHOLD) == groups


def test_nms_match_suppresses_at_exactly_the_threshold():
    dets = torch.tensor([[0, 0, 5, 1, 0.8], [0, 0, 10, 1, 0.9], [0, 0, 10, 1, 0.8]])

    assert nms_match(dets, 0.5) == [[1, 0, 2]]
    assert nms_match(dets, 0.51) == [[1, 2], [0]]
