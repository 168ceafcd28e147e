"""The losses, against a plain transcription; the official values are parity cases."""

import dataclasses
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from mm_monodino_detr.models import criterion as criterion_file
from mm_monodino_detr.models.criterion import MonoDETRCriterion, angle_loss, depth_loss, dim_loss, matching_errors
from mm_monodino_detr.models.depth_map_loss import depth_map_loss, depth_map_targets
from mm_monodino_detr.models.group_matching import Pairs, collect_targets
from mmrepro.testing import SplitAdapter

_SAMPLES = SplitAdapter(Path(__file__).resolve().parent, {}).part("mono3d_samples")
random_objects, random_predictions = _SAMPLES.random_objects, _SAMPLES.random_predictions

NAMES = {"loss_cls", "loss_bbox", "loss_iou", "loss_center", "loss_depth", "loss_dim", "loss_angle"}
METAS = [dict(img_path=f"{image:06d}.png") for image in range(3)]


def losses(objects: list[InstanceData] | None = None, **settings) -> dict[str, torch.Tensor]:
    criterion = MonoDETRCriterion(4, group_num=3, **settings)
    return criterion(random_predictions(), random_objects() if objects is None else objects, METAS)


def test_names_are_mmdets_and_the_depth_map_has_one():
    assert set(losses()) == NAMES | {f"d0.{name}" for name in NAMES} | {"loss_depth_map"}


def test_each_weight_scales_its_loss_alone():
    plain = losses()
    for name in (*NAMES, "loss_depth_map"):
        found = losses(**{f"{name.removeprefix('loss_')}_weight": 0.0})
        changed = {one for one in plain if not torch.equal(found[one], plain[one])}
        assert changed == ({name, f"d0.{name}"} & set(plain))
        assert not any(found[one] for one in changed)


def test_sums_are_divided_by_objects_times_groups():
    predictions, objects = random_predictions(), random_objects()
    criterion = MonoDETRCriterion(4, group_num=3, center_weight=1.0)
    found = criterion(predictions, objects, METAS)["loss_center"]
    targets = collect_targets(objects)
    pairs = criterion.assigner.match(predictions, targets, 3)
    apart = predictions.boxes[pairs.place][1, :, :2] - targets.boxes_3d[pairs.targets[1], :2]
    torch.testing.assert_close(found, apart.abs().sum() / 15)


@pytest.mark.parametrize(("mean", "divisor"), [(25.0, 25.0), (0.2, 1.0)])
def test_objects_are_counted_over_all_processes_and_there_is_at_least_one(monkeypatch, mean, divisor):
    plain, asked = losses(), []
    monkeypatch.setattr(criterion_file, "reduce_mean", lambda own: asked.append(own.item()) or own.new_tensor(mean))
    found = losses()
    assert asked == [15]  # five objects in three groups
    for name, value in plain.items():
        whole = 1 if name == "loss_depth_map" else 15 / divisor  # cells, not objects, divide the map's
        torch.testing.assert_close(found[name], value * whole)


def test_one_class_is_enough_for_labels_that_are_all_zero():
    predictions, objects = random_predictions(), random_objects()
    predictions = dataclasses.replace(predictions, logits=predictions.logits[..., :1])
    criterion = MonoDETRCriterion(1, group_num=3)
    with pytest.raises(ValueError, match="model has num_classes=1, that is labels 0 to 0"):
        criterion(predictions, objects, METAS)
    for one in objects:
        one.labels[:] = 0
    assert all(value.isfinite() for value in criterion(predictions, objects, METAS).values())


def test_in_evaluation_there_is_one_group():
    criterion = MonoDETRCriterion(4, group_num=5).eval()  # 12 queries are no 5 groups
    assert criterion.groups == 1
    assert set(criterion(random_predictions(), random_objects(), METAS)) >= NAMES


def test_without_objects_only_classes_and_the_depth_map_are_trained():
    predictions = random_predictions()
    found = MonoDETRCriterion(4, group_num=3)(predictions, random_objects((0, 0, 0)), METAS)
    sum(found.values()).backward()
    assert {name for name, value in found.items() if value != 0} == {"loss_cls", "d0.loss_cls", "loss_depth_map"}
    assert all(value.isfinite() for value in found.values())
    assert predictions.logits.grad.abs().sum() > 0
    for part in (predictions.boxes, predictions.dims, predictions.depths, predictions.angles):
        assert part.grad.abs().sum() == 0


def test_every_prediction_is_trained():
    predictions = random_predictions()
    sum(MonoDETRCriterion(4, group_num=3)(predictions, random_objects(), METAS).values()).backward()
    for field in dataclasses.fields(predictions):
        if field.name != "weighted_depth":  # the head reads it
            assert getattr(predictions, field.name).grad.abs().sum() > 0, field.name


def test_the_depth_loss_is_a_laplacian_with_the_official_constant():
    found = depth_loss(torch.tensor([[[12.0, 0.5], [7.0, -1.0]]]), torch.tensor([[10.0, 7.5]]))
    expected = 1.4142 * torch.exp(torch.tensor(-0.5)) * 2 + 0.5 + 1.4142 * torch.exp(torch.tensor(1.0)) * 0.5 - 1
    torch.testing.assert_close(found, expected[None])


def test_the_size_loss_has_the_mean_of_the_plain_distance_and_a_relative_gradient():
    wanted = torch.tensor([[[1.5, 1.6, 4.0], [2.0, 0.5, 1.0]]])
    dims = (wanted + torch.tensor([0.3, -0.1, 0.2])).requires_grad_()
    found = dim_loss(dims, wanted)
    found.sum().backward()
    torch.testing.assert_close(found, (dims - wanted).abs().sum((1, 2)))
    relative = ((dims - wanted).abs() / wanted).sum()
    torch.testing.assert_close(dims.grad, (dims - wanted).sign() / wanted * (found / relative).item())


def test_sizes_that_are_right_cost_nothing():
    wanted = torch.tensor([[[1.5, 1.6, 4.0]]])
    dims = wanted.clone().requires_grad_()
    dim_loss(dims, wanted).sum().backward()
    assert dims.grad.tolist() == [[[0.0, 0.0, 0.0]]]


def test_of_the_residuals_only_that_of_the_right_bin_counts():
    angles = torch.zeros(1, 1, 24)
    angles[..., 12 + 5], angles[..., 12 + 6] = 0.25, 9.0
    found = angle_loss(angles, torch.tensor([[5]]), torch.tensor([[0.05]]))
    torch.testing.assert_close(found, torch.tensor([12.0]).log() + 0.2)


def test_logged_errors_are_the_official_ones():
    logits = torch.zeros(1, 1, 4, 3)
    logits[0, 0, range(4), [0, 1, 2, 2]] = 1
    (objects,) = random_objects((2,))
    objects.labels[:] = torch.tensor([0, 0])
    pairs = Pairs(torch.tensor([[0, 0]]), torch.tensor([[0, 1]]), torch.tensor([[0, 1]]))
    found = matching_errors(logits, collect_targets([objects]), pairs)
    assert {name: value.item() for name, value in found.items()} == {"cardinality_error": 0.0, "class_error": 50.0}
    assert set(losses(log_errors=True)) - set(losses()) == {"class_error", "cardinality_error", "d0.cardinality_error"}


def test_a_label_without_a_class_is_named_with_its_image():
    objects = random_objects()
    objects[2].labels[0] = 4
    with pytest.raises(ValueError, match=r"000002.png: labels \[4\], but the model has num_classes=4"):
        losses(objects)


def test_another_number_of_bins_is_refused():
    with pytest.raises(ValueError, match="depth map has 81 classes, but 160 bins and the background are 161"):
        losses(num_depth_bins=160)


@pytest.mark.parametrize("bins", [80, 160])
def test_the_official_loss_has_80_bins_up_to_60_metres_whatever_the_predictor_has(bins):
    predictions, objects = random_predictions(), random_objects()
    objects[0].depth[0] = 90.0  # officially background
    logits = torch.randn(3, bins + 1, 4, 6, generator=torch.Generator().manual_seed(2))
    predictions = dataclasses.replace(predictions, depth_map_logits=logits)
    found = {
        official: MonoDETRCriterion(4, 3, bins, depth_max=120.0, official_depth_bins=official)(
            predictions, objects, METAS
        )
        for official in (True, False)
    }
    targets = collect_targets(objects)
    of_objects = targets.corners, targets.depths, targets.images
    expected = depth_map_loss(logits, *depth_map_targets(*of_objects, (3, 4, 6), 80, 1e-3, 60.0))
    torch.testing.assert_close(found[True].pop("loss_depth_map"), expected, rtol=0, atol=0)
    assert found[False].pop("loss_depth_map") != expected
    assert found[True] == found[False]


def test_the_official_loss_needs_its_bins():
    predictions = dataclasses.replace(random_predictions(), depth_map_logits=torch.zeros(3, 80, 4, 6))
    criterion = MonoDETRCriterion(4, 3, 79, official_depth_bins=True)
    with pytest.raises(ValueError, match="depth map has 80 classes, but official_depth_bins needs at least 81"):
        criterion(predictions, random_objects(), METAS)


def test_losses_are_float32_under_autocast():
    plain = losses()
    with torch.autocast("cpu", torch.bfloat16):
        found = losses()
    for name, value in plain.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value), name
