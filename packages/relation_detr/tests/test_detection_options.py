"""Optional steps after the best boxes are chosen: a lowest score and non-maximum suppression, both off by default."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import nn

from mm_relation_detr.models.relation_head import RelationDETRHead

SIZE = 100
# three boxes, of which the first two overlap with an IoU of 0.9
BOXES = torch.tensor([[0.3, 0.3, 0.40, 0.4], [0.3, 0.3, 0.36, 0.4], [0.8, 0.8, 0.2, 0.2]])
LOGITS = torch.tensor([[2.0, -1.0], [1.0, 0.5], [-2.0, -3.0]])  # (queries, classes)


def detect(logits=LOGITS, **options):
    head = RelationDETRHead(
        num_classes=2, embed_dims=2, num_pred_layer=2, as_two_stage=True, test_cfg=ConfigDict(max_per_img=300) | options
    )
    head.cls_branches[0] = nn.Identity()
    sample = DetDataSample(metainfo=dict(img_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0)))
    (found,) = head.predict(logits[None, None], BOXES[None, None], [sample])
    columns = (found.labels.tolist(), found.scores.tolist(), found.bboxes.tolist())
    return [(label, round(score, 3), int(box[2])) for label, score, box in zip(*columns, strict=True)]


ALL = [(0, 0.881, 50), (0, 0.731, 48), (1, 0.622, 48), (1, 0.269, 50), (0, 0.119, 90), (1, 0.047, 90)]


def test_everything_is_kept_by_default():
    assert detect() == ALL


def test_scores_below_the_least_are_dropped():
    assert detect(score_thr=0.2) == ALL[:4]
    assert detect(score_thr=0.99) == []


def test_boxes_that_overlap_a_better_one_of_their_class_are_dropped():
    assert detect(nms=dict(type="nms", iou_threshold=0.7)) == [ALL[0], ALL[2], ALL[4], ALL[5]]
    assert detect(nms=dict(type="nms", iou_threshold=0.95)) == ALL


def test_both_together_and_nothing_left_for_the_second():
    options = dict(nms=dict(type="nms", iou_threshold=0.7))
    assert detect(score_thr=0.2, **options) == [ALL[0], ALL[2]]
    assert detect(score_thr=0.99, **options) == []


def test_soft_suppression_lowers_scores():
    found = detect(nms=dict(type="soft_nms", iou_threshold=0.3, min_score=0.01))
    assert found[0] == ALL[0]
    assert {(label, right): score for label, score, right in found}[0, 48] == pytest.approx(0.731 * 0.1, abs=1e-3)


def test_predictions_that_are_not_finite_stay_visible():
    assert len(detect(torch.full_like(LOGITS, float("nan")))) == len(ALL)
