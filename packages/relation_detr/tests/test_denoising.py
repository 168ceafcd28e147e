"""Denoising queries: where they stand, what noise they carry, and who sees whom."""

import pytest
import torch
from mmdet.models.layers import CdnQueryGenerator
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData

from mm_relation_detr.models.denoising import ContrastiveDenoising, DenoisingWithIndicator

HEIGHT, WIDTH = 100, 200
SIZE = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])


def samples(*counts: int, classes: int = 9) -> list[DetDataSample]:
    random = torch.Generator().manual_seed(3)
    found = []
    for count in counts:
        boxes = torch.rand(count, 4, generator=random) * 0.1 + torch.tensor([0.4, 0.4, 0.1, 0.1])
        sample = DetDataSample(metainfo=dict(img_shape=(HEIGHT, WIDTH), img_path=f"{count}.jpg"))
        labels = torch.randint(classes, (count,), generator=random)
        sample.gt_instances = InstanceData(bboxes=bbox_cxcywh_to_xyxy(boxes) * SIZE, labels=labels)
        found.append(sample)
    return found


def contrastive(queries: int = 40, **options: object) -> ContrastiveDenoising:
    group_cfg = dict(dynamic=True, num_dn_queries=queries)
    return ContrastiveDenoising(num_classes=9, embed_dims=16, num_matching_queries=6, group_cfg=group_cfg, **options)


def with_indicator(**options: object) -> DenoisingWithIndicator:
    return DenoisingWithIndicator(num_classes=9, embed_dims=16, num_matching_queries=6, **options)


def boxes_of(sample: DetDataSample) -> torch.Tensor:
    return bbox_xyxy_to_cxcywh(sample.gt_instances.bboxes / SIZE)


def test_targets_have_their_places_and_what_is_left_is_neutral():
    batch = samples(3, 1)
    contents, boxes, mask, meta = contrastive()(batch)
    groups = 40 // 3
    assert meta == dict(num_denoising_queries=groups * 6, num_denoising_groups=groups)
    assert contents.shape == (2, groups * 6, 16)
    assert boxes.shape == (2, groups * 6, 4)
    assert mask.shape == (groups * 6 + 6,) * 2
    assert contents[0].any(1).all()
    assert contents[1].any(1).tolist() == [True, False, False] * (2 * groups)
    assert (boxes[1].view(-1, 3, 4)[:, 1:].sigmoid() == 0.5).all()


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_positive_corners_move_by_up_to_half_a_side_and_negative_ones_by_more(scale):
    torch.manual_seed(0)
    (sample,) = samples(4)
    true, generator = boxes_of(sample), contrastive(box_noise_scale=scale)
    # before the sigmoid's inverse: negative boxes may be turned inside out, which it makes the smallest ones
    noised = generator.noised_boxes(true.repeat(100, 1), 50, generator.draw(400, "cpu").shift)
    corners = bbox_cxcywh_to_xyxy(noised).view(50, 2, 4, 4)
    moved = (corners - bbox_cxcywh_to_xyxy(true)).abs() / (true[:, 2:].repeat(1, 2) / 2 * scale)
    assert 0.95 < moved[:, 0].max() <= 1.001
    assert moved[:, 0].min() < 0.05
    assert 0.999 <= moved[:, 1].min() < 1.05
    assert 1.95 < moved[:, 1].max() <= 2.001
    assert (corners - bbox_cxcywh_to_xyxy(true) > 0).float().mean() == pytest.approx(0.5, abs=0.05)


def test_centres_and_sizes_move_with_an_indicator():
    torch.manual_seed(0)
    (sample,) = samples(4)
    _, boxes, _, _ = with_indicator(num_groups=100)([sample])
    true = boxes_of(sample)
    sides = torch.cat([true[:, 2:] / 2, true[:, 2:]], 1)
    moved = (boxes.sigmoid().view(100, 4, 4) - true).abs() / sides
    assert moved.amax((0, 1)).tolist() == pytest.approx([0.4] * 4, abs=0.02)


@pytest.mark.parametrize(
    ("generator", "probability"), [(contrastive(900), 0.25), (with_indicator(num_groups=300), 0.2)]
)
def test_labels_are_replaced_with_the_official_probability(generator, probability):
    torch.manual_seed(0)
    (sample,) = samples(3)
    contents, _, _, meta = generator([sample])
    true = generator.contents(sample.gt_instances.labels.repeat(meta["num_denoising_queries"] // 3))
    changed = (contents[0] != true).any(1).float().mean()
    assert changed == pytest.approx(probability * 8 / 9, abs=0.04)  # one in nine replacements is the same label


def test_the_indicator_marks_targets_alone():
    contents, _, mask, meta = with_indicator()(samples(3, 1))
    assert meta == dict(num_denoising_queries=15, num_denoising_groups=5)
    assert contents[..., -1].tolist() == [[1.0] * 15, [1.0, 0.0, 0.0] * 5]
    assert mask.shape == (21, 21)


@pytest.mark.parametrize(("most", "groups"), [(1, 1), (3, 4), (5, 2), (0, 1)])
def test_the_mask_is_mmdets(most, groups):
    theirs = CdnQueryGenerator(9, 16, 6, group_cfg=dict(num_dn_queries=40))
    assert contrastive().generate_dn_mask(most, groups, "cpu").equal(theirs.generate_dn_mask(most, groups, "cpu"))


@pytest.mark.parametrize("most", [0, 1, 7, 40, 41])
def test_there_are_as_many_groups_as_fit_and_at_least_one(most):
    _, _, _, meta = contrastive()(samples(most, 0))
    groups = max(1, 40 // max(most, 1)) if most else 1
    assert meta == dict(num_denoising_queries=2 * groups * most, num_denoising_groups=groups)


@pytest.mark.parametrize("generator", [contrastive(), with_indicator()])
def test_without_targets_there_are_no_queries_and_the_gradient_is_zero(generator):
    contents, boxes, mask, meta = generator(samples(0, 0))
    assert meta["num_denoising_queries"] == 0
    assert contents.shape == (2, 0, 16)
    assert boxes.shape == (2, 0, 4)
    assert not mask.any()
    assert mask.shape == (6, 6)
    torch.cat([contents, torch.ones(2, 6, 16)], 1).sum().backward()
    assert not generator.label_embedding.weight.grad.any()


def test_the_seed_decides():
    first, second, third = (_seeded(seed) for seed in (1, 1, 2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not torch.equal(first[1], third[1])


def _seeded(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = contrastive()
    generator.label_embedding.weight.data.fill_(1.0)
    torch.manual_seed(seed)
    contents, boxes, _, _ = generator(samples(3, 2))
    return contents, boxes


@pytest.mark.parametrize("label", [9, -1])
def test_a_label_without_a_class_is_an_error_that_names_the_image(label):
    batch = samples(2, 3)
    batch[1].gt_instances.labels[2] = label
    with pytest.raises(
        ValueError, match=rf"3\.jpg: labels \[{label}\], but the model has num_classes=9.*set num_class"
    ):
        contrastive()(batch)
