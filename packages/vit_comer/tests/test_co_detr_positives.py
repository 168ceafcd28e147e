"""Positives of auxiliary heads: what becomes a query, which queries see which, what their losses are."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

import mm_vit_comer.models.co_detr  # noqa: F401  registers the heads
from mm_vit_comer.models.co_detr.positives import Positives, batch_positives

BOX, OTHER = [10.0, 20.0, 50.0, 60.0], [0.0, 0.0, 20.0, 10.0]
NONE = Positives(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4))
TWO = Positives(torch.tensor([BOX, [-30.0, 0.0, 300.0, 40.0]]), torch.tensor([2, 0]), torch.tensor([OTHER, BOX]))


def build(**settings):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(ConfigDict(settings))


def test_boxes_become_relative_to_their_image_and_images_are_filled_up():
    batch = batch_positives([NONE, TWO], [(40, 40), (80, 100)], num_classes=3, most=5)
    assert batch.valid.tolist() == [[False, False], [True, True]]
    assert batch.labels.tolist() == [[3, 3], [2, 0]]
    torch.testing.assert_close(batch.references[1, 0], torch.tensor([0.3, 0.5, 0.4, 0.5]))
    assert batch.references[1, 1, 2] == 1  # an anchor wider than the image
    torch.testing.assert_close(batch.targets[1, 0], torch.tensor([0.1, 0.0625, 0.2, 0.125]))


def test_one_query_stays_where_nothing_is_positive():
    batch = batch_positives([NONE, NONE], [(40, 40)] * 2, num_classes=3, most=5)
    assert batch.references.shape == (2, 1, 4)
    assert not batch.valid.any()


def test_at_most_so_many_are_chosen_and_stay_together():
    count = 50
    boxes = torch.arange(count)[:, None] + torch.zeros(count, 4)
    chosen = Positives(boxes, torch.arange(count), boxes + 100).at_most(7)
    assert len(set(chosen.labels.tolist())) == 7
    torch.testing.assert_close(chosen.boxes[:, 0], chosen.labels.float())
    torch.testing.assert_close(chosen.targets, chosen.boxes + 100)


def test_filled_up_queries_are_seen_by_themselves_only():
    one = Positives(TWO.boxes[:1], TWO.labels[:1], TWO.targets[:1])
    mask = batch_positives([one, TWO], [(80, 100)] * 2, num_classes=3, most=5).attention_mask(num_heads=2)
    assert mask.shape == (4, 2, 2)
    assert mask[0].tolist() == mask[1].tolist() == [[False, True], [False, False]]
    assert not mask[2:].any()


def query_head():
    return build(
        type="CoMerCoDINOHead",
        num_classes=3,
        embed_dims=8,
        num_pred_layer=3,
        as_two_stage=True,
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", loss_weight=2.0),
        train_cfg=None,
    )


def test_each_positive_learns_its_own_object():
    """Written out for one query of one image, next to one that was filled up."""
    head, shapes = query_head(), [(80, 100), (80, 100)]
    one = Positives(TWO.boxes[:1], TWO.labels[:1], TWO.targets[:1])
    batch = batch_positives([NONE, one], shapes, num_classes=3, most=5)
    hidden = torch.randn(2, 2, 1, 8)
    losses = head.loss_positives(hidden, [batch.references] * 3, batch, shapes)
    assert list(losses) == ["d0.loss_cls", "d0.loss_bbox", "d0.loss_iou", "loss_cls", "loss_bbox", "loss_iou"]
    scores, boxes = (value[-1, 1, 0] for value in head(hidden, [batch.references] * 3))
    wanted = batch.targets[1, 0]
    torch.testing.assert_close(losses["loss_bbox"], 5 * (boxes - wanted).abs().sum())
    ours, theirs = (torch.cat([b[:2] - b[2:] / 2, b[:2] + b[2:] / 2]) for b in (boxes, wanted))
    low, high = torch.maximum(ours[:2], theirs[:2]), torch.minimum(ours[2:], theirs[2:])
    inside = (high - low).clamp(min=0).prod()
    union = boxes[2:].prod() + wanted[2:].prod() - inside
    hull = (torch.maximum(ours[2:], theirs[2:]) - torch.minimum(ours[:2], theirs[:2])).prod()
    giou = inside / union - (hull - union) / hull
    torch.testing.assert_close(losses["loss_iou"], 2 * (1 - giou))
    soft = torch.zeros(3)
    soft[2] = inside / union
    p = scores.sigmoid()
    entropy = -(soft * p.log() + (1 - soft) * (1 - p).log())
    torch.testing.assert_close(losses["loss_cls"], ((soft - p).abs() ** 2 * entropy).sum())


def test_the_loss_is_the_mean_over_positives():
    head, shapes = query_head(), [(80, 100)]
    one = Positives(TWO.boxes[:1], TWO.labels[:1], TWO.targets[:1])
    twice = Positives(*(value.repeat(2, *[1] * (value.dim() - 1)) for value in (one.boxes, one.labels, one.targets)))
    hidden = torch.randn(2, 1, 1, 8)
    found = []
    for ones, states in ((one, hidden), (twice, hidden.repeat(1, 1, 2, 1))):
        batch = batch_positives([ones], shapes, num_classes=3, most=5)
        found.append(head.loss_positives(states, [batch.references] * 3, batch, shapes))
    torch.testing.assert_close(found[0], found[1])


def sample(boxes, labels):
    one = DetDataSample(metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64)))
    one.gt_instances = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
    return one


def test_atss_hands_over_its_positive_anchors():
    head = build(
        type="CoMerCoATSSHead",
        num_classes=3,
        in_channels=32,
        feat_channels=32,
        stacked_convs=1,
        anchor_generator=dict(
            type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[4, 8]
        ),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1),
    )
    maps = [torch.randn(2, 32, side, side) for side in (16, 8)]
    samples = [sample([[8.0, 8.0, 40.0, 40.0]], [1]), sample([[20.0, 20.0, 60.0, 60.0], BOX], [0, 2])]
    losses, positives = head.loss_and_positives(maps, samples)
    torch.testing.assert_close(losses, head.loss(maps, samples))
    for one, found in zip(samples, positives, strict=True):
        assert len(found.labels) > 0
        for label, target, anchor in zip(found.labels, found.targets, found.boxes, strict=True):
            match = (one.gt_instances.bboxes == target).all(1).nonzero().item()
            assert one.gt_instances.labels[match] == label
            centre = (anchor[:2] + anchor[2:]) / 2
            assert (centre > target[:2]).all()  # ATSS takes what has its centre inside
            assert (centre < target[2:]).all()


@pytest.mark.parametrize("labels", [[1], [2]])
def test_the_second_stage_hands_over_its_positive_proposals(labels):
    head = build(
        type="CoMerCoRoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=8,
            featmap_strides=[4],
        ),
        bbox_head=dict(
            type="Shared2FCBBoxHead",
            in_channels=8,
            fc_out_channels=8,
            num_classes=3,
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_decoded_bbox=True,
            loss_bbox=dict(type="GIoULoss", loss_weight=10.0),
        ),
        train_cfg=dict(
            assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5),
            sampler=dict(type="RandomSampler", num=8, pos_fraction=0.5, add_gt_as_proposals=True),
            pos_weight=-1,
        ),
    )
    close, far = [12.0, 20.0, 50.0, 60.0], [0.0, 0.0, 8.0, 8.0]
    proposals = [InstanceData(bboxes=torch.tensor([far, close]))]
    losses, (found,) = head.loss_and_positives([torch.randn(1, 8, 16, 16)], proposals, [sample([BOX], labels)])
    assert all(torch.isfinite(value) for value in losses.values())
    assert sorted(found.boxes.tolist()) == sorted([BOX, close])
    assert found.labels.tolist() == labels * 2
    assert found.targets.tolist() == [BOX, BOX]
