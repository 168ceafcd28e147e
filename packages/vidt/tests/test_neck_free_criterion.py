"""The losses of the neck-free model where there is little to learn; the official ones are among the parity cases."""

from unittest import mock

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mm_vidt.models import neck_free_criterion as module
from mm_vidt.models.neck_free_criterion import NeckFreeCriterion
from mm_vidt.models.predictions import Predictions

METAS = [dict(img_path="a.jpg", img_shape=(60, 80)), dict(img_path="b.jpg", img_shape=(50, 40))]


def predictions() -> Predictions:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 9, 6, generator=random).requires_grad_()
    return Predictions(logits, torch.rand(1, 2, 9, 4, generator=random).requires_grad_())


def objects(*labels: list[int]) -> list[InstanceData]:
    boxes = torch.tensor([[5.0, 6.0, 25.0, 36.0], [1.0, 2.0, 12.0, 30.0]])
    return [InstanceData(bboxes=boxes[: len(one)], labels=torch.tensor(one, dtype=torch.long)) for one in labels]


def entropy(logits: Tensor, weight: float) -> Tensor:
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 2), torch.full((18,), 5), torch.tensor([1.0] * 5 + [weight])
    )


def test_without_objects_all_is_background_and_boxes_have_zero_gradients():
    given = predictions()
    losses = NeckFreeCriterion(5)(given, objects([], []), METAS)
    torch.testing.assert_close(losses["loss_cls"], entropy(given.logits, 0.1))
    assert losses["loss_bbox"] == losses["loss_iou"] == 0
    sum(losses.values()).backward()
    assert torch.isfinite(given.logits.grad).all()
    assert torch.equal(given.boxes.grad, torch.zeros_like(given.boxes))


def test_boxes_are_divided_by_those_of_all_processes_and_classes_are_a_local_mean():
    given, instances = predictions(), objects([0, 4], [2])
    alone = NeckFreeCriterion(5)(given, instances, METAS)
    with mock.patch.object(module, "reduce_mean", lambda number: number * 2):
        shared = NeckFreeCriterion(5)(given, instances, METAS)
    for name, factor in {"loss_cls": 1, "loss_bbox": 0.5, "loss_iou": 0.5}.items():
        torch.testing.assert_close(shared[name], alone[name] * factor)


def test_the_background_is_no_label():
    with pytest.raises(ValueError, match=r"b\.jpg: labels \[5\], but the model has num_classes=5"):
        NeckFreeCriterion(5)(predictions(), objects([1], [5]), METAS)


def test_autocast_is_left_out():
    given = predictions()
    half = Predictions(given.logits.detach().bfloat16(), given.boxes.detach().bfloat16())
    single = Predictions(half.logits.float(), half.boxes.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = NeckFreeCriterion(5)(half, objects([0, 4], [2]), METAS)
    expected = NeckFreeCriterion(5)(single, objects([0, 4], [2]), METAS)
    assert {name: loss.item() for name, loss in found.items()} == {name: loss.item() for name, loss in expected.items()}


def test_it_saves_nothing():
    assert not NeckFreeCriterion(5).state_dict()
