"""Testing at several scales: each keeps boxes of its own sizes."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mm_meta_transformer.dense.size_range_tta import SizeRangeTTA, within

SMALL, MEDIUM, LARGE = [0.0, 0.0, 8.0, 8.0], [10.0, 10.0, 60.0, 60.0], [0.0, 0.0, 200.0, 200.0]


class Detector(nn.Module):
    """Finds a box in every view, and tells whether it would have made masks."""

    def __init__(self):
        super().__init__()
        self.roi_head = nn.Module()
        self.roi_head.mask_head = nn.Identity()
        self.masked = []

    def test_step(self, data):
        self.masked.append(self.roi_head.mask_head is not None)
        return [view(LARGE)]


def view(*boxes):
    sample = DetDataSample(metainfo=dict(ori_shape=(300, 300), flip=False, flip_direction=None))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes),
        scores=torch.linspace(0.9, 0.8, len(boxes)),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )
    return sample


def tta(*size_ranges):
    settings = ConfigDict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=10)
    return SizeRangeTTA(size_ranges, module=Detector(), tta_cfg=settings)


def test_sizes_are_those_of_coco():
    sides = torch.tensor([32.0, 32.1, 96.0, 96.1])
    boxes = torch.stack([torch.zeros(4), torch.zeros(4), sides, sides], 1)
    assert within(boxes, ["small"]).tolist() == [True, False, False, False]
    assert within(boxes, ["medium"]).tolist() == [False, True, True, False]
    assert within(boxes, ["small", "large"]).tolist() == [True, False, False, True]


def test_each_scale_keeps_its_sizes_in_all_its_views():
    views = [view(SMALL, LARGE), view(MEDIUM, LARGE), view(SMALL, LARGE), view(SMALL, MEDIUM)]
    (merged,) = tta(["large"], ["small", "medium"]).merge_preds([views])
    assert sorted(merged.pred_instances.bboxes.tolist()) == sorted([SMALL, MEDIUM, LARGE])


def test_masks_are_not_computed_and_their_head_stays():
    model = tta(["large"])
    (merged,) = model.test_step(dict(inputs=[[0], [0]], data_samples=[[0], [0]]))
    assert merged.pred_instances.bboxes.tolist() == [LARGE]
    assert model.module.masked == [False, False]
    assert model.module.roi_head.mask_head is not None


def test_views_that_no_scale_claims_and_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match="a picture has 3 views, and size_ranges names 2 scales"):
        tta(["large"], ["small"]).merge_preds([[view(SMALL), view(SMALL), view(SMALL)]])
    with pytest.raises(ValueError, match="size_ranges has huge; there are small, medium, large"):
        tta(["huge"])
