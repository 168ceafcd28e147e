"""Masks of a batch on one canvas, and their crops against RoIAlign object by object."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData

from mm_vidt.models import mask_targets
from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.models.mask_targets import mask_crops, padded_masks
from mmrepro.testing import SplitAdapter

plain_official = SplitAdapter(Path(__file__).resolve().parent, {}).part("plain_official")

BOXES = torch.tensor(
    [[3.2, 4.7, 40.1, 33.3], [-5.5, -7.3, 30.2, 60.9], [20.0, 10.0, 20.5, 30.0], [0.0, 0.0, 80.0, 48.0]]
)


def blobs(count: int, height: int = 48, width: int = 80, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(count, 1, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(coarse, (height, width))[:, 0] > 0.5).to(torch.uint8)


def instances(masks: torch.Tensor, **more: object) -> InstanceData:
    bitmaps = BitmapMasks(masks.numpy(), *masks.shape[1:])
    return InstanceData(bboxes=torch.zeros(len(masks), 4), masks=bitmaps, **more)


def meta(height: int = 48, width: int = 80) -> dict:
    return dict(img_path="a.jpg", batch_input_shape=(height, width))


def test_crops_are_those_of_each_object_alone(monkeypatch):
    monkeypatch.setattr(mask_targets, "PIXELS_AT_ONCE", 2 * 48 * 80)
    masks = [blobs(3), blobs(0), blobs(1, seed=1)]
    crops = mask_crops(masks, BOXES)
    each = torch.cat([masks[0], masks[2]])
    expected = [plain_official.plain_crop(mask, box) for mask, box in zip(each, BOXES, strict=True)]
    assert torch.equal(crops, torch.stack(expected))
    vectors = plain_official.plain_mask_targets([each], [BOXES])
    torch.testing.assert_close(DCTMaskCoder().encode(crops), vectors, atol=1e-4, rtol=1e-5)


def test_empty_masks_and_boxes_give_empty_crops():
    assert not mask_crops([torch.zeros(4, 48, 80, dtype=torch.uint8)], BOXES).any()
    nothing = mask_crops([torch.ones(1, 48, 80, dtype=torch.uint8)], torch.tensor([[5.0, 5.0, 5.0, 5.0]]))
    assert not nothing.any()
    assert mask_crops([blobs(0), blobs(0)], torch.zeros(0, 4)).shape == (0, 128, 128)


def test_masks_are_padded_to_the_batch():
    polygons = PolygonMasks([[np.array([2.0, 2.0, 30.0, 2.0, 30.0, 20.0])]], 40, 50)
    given = [instances(blobs(2)), InstanceData(bboxes=torch.zeros(1, 4), masks=polygons), instances(blobs(0))]
    found = padded_masks(given, [meta(56, 96)] * 3, "are needed")
    assert [tuple(one.shape) for one in found] == [(2, 56, 96), (1, 56, 96), (0, 56, 96)]
    assert all(one.dtype == torch.uint8 for one in found)
    assert torch.equal(found[0][:, :48, :80], blobs(2))
    assert not found[0][:, 48:].any()
    assert not found[0][:, :, 80:].any()
    assert 0 < found[1].sum() < 40 * 50


def test_any_value_but_zero_is_inside():
    (found,) = padded_masks([instances(blobs(2) * 255)], [meta()], "are needed")
    assert torch.equal(found, blobs(2))


def test_boxes_without_masks_are_an_error_and_images_without_boxes_are_not():
    boxes = InstanceData(bboxes=torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"a\.jpg has boxes and no masks, which are wanted; .* with_mask=True"):
        padded_masks([boxes], [meta()], "are wanted")
    (found,) = padded_masks([InstanceData(bboxes=torch.zeros(0, 4))], [meta()], "are wanted")
    assert found.shape == (0, 48, 80)


def test_masks_larger_than_the_batch_are_an_error():
    with pytest.raises(ValueError, match=r"a\.jpg: its masks are of 48 x 80 pixels .* of 40 x 80; .*resized"):
        padded_masks([instances(blobs(1))], [meta(40, 80)], "are wanted")
