"""The trace of a picture: it is what the detector predicted, and what its tokens attended to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from mm_vidt.models.ram import DetAttention
from mm_vidt.trace import Trace, best, traced
from mmrepro.testing import SplitAdapter

small = SplitAdapter(Path(__file__).resolve().parent, {}).part("small_detectors")
SIZE, SHOWN = (64, 88), (128, 220)  # of the network's input and of the picture


def run(name):
    model, images = small.built(small.settings(name)), torch.randn(1, 3, *SIZE)
    sample = DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SHOWN))
    samples, trace = traced(model, lambda: model.predict(images, [sample]), SHOWN)
    return model, images, samples[0].pred_instances, trace


@pytest.mark.parametrize("name", ["plus", "boxes", "coat", "neck-free"])
def test_the_last_level_is_the_prediction(name):
    model, _, found, trace = run(name)
    np.testing.assert_allclose(trace.boxes[-1], found.bboxes, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(trace.scores[-1], found.scores, rtol=1e-5)
    np.testing.assert_array_equal(trace.labels, found.labels)
    assert len(trace.boxes) == len(trace.scores) == (1 if name == "neck-free" else 3)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    if name == "plus":
        coder = model.bbox_head.criterion.mask_coder
        masks = coder.masks(torch.from_numpy(trace.vectors), found.bboxes, *SHOWN)
        assert (masks == found.masks).float().mean() > 0.999
        assert found.masks.any()
    else:
        assert trace.vectors is None


def test_boxes_reach_out_of_the_picture_also_where_detections_are_clipped():
    """A mask is spread over the box as it was predicted."""
    changed = small.settings("plus")
    changed["bbox_head"]["test_cfg"]["clip"] = True
    model, sample = small.built(changed), DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SHOWN))
    torch.nn.init.constant_(model.bbox_head.reg_branches[-1][-1].bias, 2.0)  # large boxes
    samples, trace = traced(model, lambda: model.predict(torch.randn(1, 3, *SIZE), [sample]), SHOWN)
    clipped = trace.boxes[-1].clip(0, [*SHOWN[::-1]] * 2)
    assert not np.allclose(trace.boxes[-1], clipped, atol=1)
    np.testing.assert_allclose(clipped, samples[0].pred_instances.bboxes, rtol=1e-5, atol=1e-3)


def test_levels_are_those_of_the_heads_for_the_same_queries_and_classes():
    model, images, _, trace = run("plus")
    with torch.no_grad():
        everything = model.bbox_head(model.forward_tokens(images, torch.zeros_like(images[:, 0], dtype=torch.bool)))
    scores = everything.logits[:, 0].sigmoid()  # (L + 1, N, classes)
    queries = scores[-1].flatten().topk(10).indices // scores.size(-1)
    for level in range(3):
        chosen = scores[level, queries, torch.from_numpy(trace.labels)]
        np.testing.assert_allclose(trace.scores[level], chosen, rtol=1e-5)
        width = everything.boxes[level, 0, queries, 2] * SHOWN[1]
        np.testing.assert_allclose(trace.boxes[level, :, 2] - trace.boxes[level, :, 0], width, rtol=1e-4)
    assert not np.allclose(trace.boxes[0], trace.boxes[1], atol=0.1)


@pytest.mark.parametrize(
    ("name", "places", "maps"),
    [
        ("boxes", [(3, 0), (3, 1)], [(2, 3)] * 2),
        ("coat", [(2, 0), (3, 0)], [(4, 6), (2, 3)]),
        ("neck-free", [(3, 0), (3, 1)], [(2, 3)] * 2),
    ],
)
def test_attention_is_that_of_the_cross_stages_and_covers_the_picture(name, places, maps):
    trace = run(name)[-1]
    assert [(one.stage, one.block) for one in trace.attention] == places
    assert [one.weights.shape[1:] for one in trace.attention] == maps
    for one in trace.attention:
        shares = one.weights.sum((1, 2))
        assert (one.weights >= 0).all()
        assert (shares > 0.1).all()
        assert (shares < 0.99).all()  # the rest goes to tokens
    last = trace.attention[-1].covered
    assert last == (pytest.approx(3 * 32 * 220 / 88), pytest.approx(2 * 32 * 128 / 64))


@pytest.mark.parametrize("name", ["boxes", "coat"])
def test_attention_is_computed_from_what_the_block_computed_with(name, monkeypatch):
    """What is attended to with the weights of the trace is what the detector's own attention gives."""
    taken = []
    attend = DetAttention.attend_det

    def spy(self, patches, det, cross):
        if cross is not None:
            taken.append(self.det_weights(patches, det, cross)[0].mean(0))
        return attend(self, patches, det, cross)

    monkeypatch.setattr(DetAttention, "attend_det", spy)
    model, images, _, trace = run(name)
    with torch.no_grad():
        tokens = model.forward_tokens(images, torch.zeros_like(images[:, 0], dtype=torch.bool))
        queries = model.bbox_head.cls_branches[-1](tokens.hidden[-1])[0].flatten().topk(10).indices // 3
    assert len(taken) == 2 * len(trace.attention)
    for weights, one in zip(taken, trace.attention, strict=False):
        assert weights.shape[1] == one.weights[0].size + small.QUERIES
        np.testing.assert_allclose(one.weights.reshape(10, -1), weights[queries, : -small.QUERIES].detach(), rtol=1e-4)


def test_the_last_two_blocks_of_a_deep_stage_are_kept():
    changed = small.settings("boxes")
    changed["backbone"]["arch"]["depths"] = (1, 1, 3, 1)
    changed["backbone"]["cross_stages"] = (2, 3)
    model = small.built(changed)
    sample = DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE))
    _, trace = traced(model, lambda: model.predict(torch.randn(1, 3, *SIZE), [sample]), SIZE)
    assert [(one.stage, one.block) for one in trace.attention] == [(2, 1), (2, 2), (3, 0)]


def test_of_detections_of_one_object_the_best_is_taken_and_never_none():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [1, 1, 11, 11], [50, 50, 60, 60]], np.float32)
    scores, labels = np.array([0.5, 0.6, 0.9, 0.4], np.float32), np.array([0, 0, 1, 0])
    assert best(boxes, scores, labels, 0.3).tolist() == [2, 1, 3]
    assert best(boxes, scores, labels, 0.45).tolist() == [2, 1]
    assert best(boxes, scores, labels, 0.3, overlap=0.7).tolist() == [2, 1, 0, 3]
    assert best(boxes, scores, labels, 2.0).tolist() == [2]
    trace = Trace(boxes[None], scores[None], labels, [], None)
    assert trace.best(0.3, limit=2).tolist() == [2, 1]
    with pytest.raises(IndexError, match="no detection 4: they are 0 to 3"):
        trace.check(4)
