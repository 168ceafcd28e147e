"""The class loss: its formula, where it differs from mmdet's, and its use by mmdet's own heads."""

import pytest
import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.losses import VarifocalLoss
from mmengine.structures import InstanceData

from mm_relation_detr.models.matching import Outputs
from mm_relation_detr.models.relation_head import RelationDETRHead
from mm_relation_detr.models.varifocal import RelationVarifocalLoss

LOGITS = torch.tensor([[0.3, -1.2, 2.0], [0.5, 0.1, -0.4], [-2.0, 0.7, 1.1]])
LABELS = torch.tensor([2, 3, 1])  # the second row is background
OVERLAPS = torch.tensor([0.6, 0.0, 0.0])  # the third row's box does not touch its target


def formula(logits: torch.Tensor) -> torch.Tensor:
    """Return the loss of each row, entry by entry."""
    rows = []
    for row, label, overlap in zip(logits, LABELS.tolist(), OVERLAPS.tolist(), strict=True):
        total = 0.0
        for number, logit in enumerate(row):
            p = logit.sigmoid()
            if number == label:
                total = total - overlap * (overlap * p.log() + (1 - overlap) * (1 - p).log())
            else:
                total = total - 0.75 * p.detach() ** 2 * (1 - p).log()
        rows.append(total)
    return torch.stack(rows)


def test_rows_and_gradient_are_those_of_the_formula():
    logits, same = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    loss = RelationVarifocalLoss(reduction="none")(logits, (LABELS, OVERLAPS))
    torch.testing.assert_close(loss, formula(same))
    loss.sum().backward()
    formula(same).sum().backward()
    torch.testing.assert_close(logits.grad, same.grad)
    assert logits.grad[2, 1] == 0, "a matched entry without overlap is neither positive nor background"


def test_mmdets_loss_is_another_one():
    quality = torch.zeros(3, 3)
    quality[0, 2] = 0.6
    theirs = VarifocalLoss(reduction="none")(LOGITS, quality)
    ours = RelationVarifocalLoss(reduction="none")(LOGITS, (LABELS, OVERLAPS))
    torch.testing.assert_close(ours[:2], theirs.sum(1)[:2])
    assert theirs[2, 1] > 0.2
    torch.testing.assert_close(ours[2], theirs[2].sum() - theirs[2, 1])


def test_reductions_weights_and_factor():
    target = LABELS, OVERLAPS
    rows = RelationVarifocalLoss(reduction="none")(LOGITS, target)
    torch.testing.assert_close(RelationVarifocalLoss()(LOGITS, target), rows.mean())
    torch.testing.assert_close(RelationVarifocalLoss(loss_weight=2.0)(LOGITS, target, avg_factor=5.0), rows.sum() * 0.4)
    weight = torch.tensor([1.0, 0.0, 2.0])
    weighted = RelationVarifocalLoss()(LOGITS, target, weight, reduction_override="sum")
    torch.testing.assert_close(weighted, (rows * weight).sum())


def test_mmdets_head_computes_what_ours_computes():
    torch.manual_seed(0)
    arguments = dict(num_classes=5, embed_dims=8, num_pred_layer=2, as_two_stage=True)
    ours = RelationDETRHead(**arguments)
    theirs = DINOHead(
        **arguments, sync_cls_avg_factor=True, loss_cls=dict(type="RelationVarifocalLoss"), train_cfg=ours.train_cfg
    )
    logits, boxes = torch.randn(1, 2, 12, 5), torch.rand(1, 2, 12, 4) * 0.4 + 0.2
    corners = torch.tensor([[4.0, 6.0, 40.0, 50.0], [20.0, 10.0, 60.0, 30.0]])
    targets = [InstanceData(bboxes=corners[:count], labels=torch.tensor([1, 4])[:count]) for count in (2, 1)]
    metas = [dict(img_shape=(64, 80))] * 2
    expected = super(DINOHead, theirs).loss_by_feat(logits, boxes, None, None, targets, metas)
    found = ours.loss_by_feat({"": Outputs(logits, boxes)}, targets, metas)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name].squeeze())


def test_half_precision_is_computed_in_full():
    half = RelationVarifocalLoss()(LOGITS.bfloat16(), (LABELS, OVERLAPS))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, RelationVarifocalLoss()(LOGITS.bfloat16().float(), (LABELS, OVERLAPS)))


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_alpha_weighs_background_alone(alpha):
    background = RelationVarifocalLoss(alpha)(LOGITS, (torch.full((3,), 3), torch.zeros(3)))
    torch.testing.assert_close(
        background, RelationVarifocalLoss(1.0)(LOGITS, (torch.full((3,), 3), torch.zeros(3))) * alpha
    )
    assert RelationVarifocalLoss(0.0)(LOGITS[:1, 2:], (torch.tensor([0]), torch.tensor([0.6]))) > 0
