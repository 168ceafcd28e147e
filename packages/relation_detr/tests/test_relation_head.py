"""The head: names and values of losses, what they are divided by, detections, and how branches start."""

import math
from unittest import mock

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_relation_detr.models import relation_head
from mm_relation_detr.models.relation_head import RelationDETRHead

LAYERS, CLASSES, DIMS, GROUPS, MOST = 3, 7, 16, 2, 3
FOCAL = dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)
SHAPES = ((64, 96), (80, 64))


def make_head(**options: object) -> RelationDETRHead:
    torch.manual_seed(0)
    return RelationDETRHead(
        num_classes=CLASSES,
        embed_dims=DIMS,
        num_pred_layer=LAYERS + 1,
        as_two_stage=True,
        **{"hybrid": True, "hybrid_repeat": 4, **options},
    )


def make_samples(counts: tuple[int, int] = (MOST, 2), scale: int = 1) -> list[DetDataSample]:
    random = torch.Generator().manual_seed(2)
    samples = []
    for count, (height, width) in zip(counts, SHAPES, strict=True):
        sample = DetDataSample(metainfo=dict(img_shape=(scale * height, scale * width), img_path=f"{count}.jpg"))
        boxes = torch.rand(count, 4, generator=random) * 0.2 + 0.3
        sample.gt_instances = InstanceData(
            bboxes=bbox_cxcywh_to_xyxy(boxes) * torch.tensor([width, height, width, height]) * scale,
            labels=torch.randint(CLASSES, (count,), generator=random),
        )
        samples.append(sample)
    return samples


def network_outputs(queries: int, seed: int, layers: int = LAYERS) -> dict[str, Tensor]:
    """Return what the detector gives for one pass, as leaves."""
    random = torch.Generator().manual_seed(seed)
    shapes = {
        "hidden_states": (layers, 2, queries, DIMS),
        "boxes": (layers, 2, queries, 4),
        "enc_outputs_class": (2, queries, CLASSES),
        "enc_outputs_coord": (2, queries, 4),
    }
    found = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    found |= {name: found[name].sigmoid() * 0.5 + 0.2 for name in ("boxes", "enc_outputs_coord")}
    return {name: tensor.requires_grad_() for name, tensor in found.items()}


def head_inputs(denoising: int = GROUPS * 2 * MOST) -> dict:
    inputs = network_outputs(denoising + 10, seed=4)
    inputs |= {name: inputs[name][:, denoising:] for name in ("enc_outputs_class", "enc_outputs_coord")}
    meta = dict(num_denoising_queries=denoising, num_denoising_groups=GROUPS)
    return inputs | dict(dn_meta=meta, hybrid=network_outputs(30, seed=5))


def test_every_layer_and_branch_has_its_three_losses():
    losses = make_head().loss(**head_inputs(), batch_data_samples=make_samples())
    layers = ["", *(f"d{layer}." for layer in range(LAYERS - 1))]
    sets = [layer + prefix for prefix in ("", "dn_", "hybrid_") for layer in layers] + ["enc_", "hybrid_enc_"]
    assert set(losses) == {f"{one}loss_{part}" for one in sets for part in ("cls", "bbox", "iou")}
    assert all(value.shape == () and value > 0 for value in losses.values())


def test_the_denoising_queries_change_no_other_loss():
    with_denoising = make_head().loss(**head_inputs(), batch_data_samples=make_samples())
    inputs, denoising = head_inputs(), GROUPS * 2 * MOST
    inputs |= {name: inputs[name][:, :, denoising:] for name in ("hidden_states", "boxes")}
    without = make_head().loss(**inputs | {"dn_meta": None}, batch_data_samples=make_samples())
    assert set(with_denoising) - set(without) == {name for name in with_denoising if "dn_" in name}
    for name, value in without.items():
        torch.testing.assert_close(with_denoising[name], value)


def test_denoising_queries_restore_the_targets_that_they_are_noised_from():
    inputs, samples = head_inputs(), make_samples()
    boxes = inputs["boxes"].detach().clone()
    slots = 2 * MOST
    for image, (sample, (height, width)) in enumerate(zip(samples, SHAPES, strict=True)):
        x1, y1, x2, y2 = (sample.gt_instances.bboxes / torch.tensor([width, height, width, height])).unbind(1)
        true = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1)
        for group in range(GROUPS):
            boxes[:, image, group * slots : group * slots + len(true)] = true
    losses = make_head().loss(**inputs | {"boxes": boxes}, batch_data_samples=samples)
    restored = [value for name, value in losses.items() if "dn_loss_bbox" in name or "dn_loss_iou" in name]
    assert len(restored) == 2 * LAYERS
    torch.testing.assert_close(torch.stack(restored), torch.zeros(2 * LAYERS), atol=1e-5, rtol=0)


def test_losses_are_means_over_targets_whatever_the_batch():
    """Twice the same batch has the losses of one, and a second process without targets halves the divisor."""
    head, inputs, samples = make_head(), head_inputs(), make_samples()
    losses = head.loss(**inputs, batch_data_samples=samples)

    def twice(part: object) -> object:
        if isinstance(part, dict):
            return {name: twice(value) for name, value in part.items()}
        return torch.cat([part, part], part.dim() - 3) if isinstance(part, Tensor) else part

    doubled = head.loss(**twice(inputs) | {"dn_meta": inputs["dn_meta"]}, batch_data_samples=samples + samples)
    with mock.patch.object(relation_head, "reduce_mean", lambda number: number / 2):
        shared = head.loss(**inputs, batch_data_samples=samples)
    for name, value in losses.items():
        torch.testing.assert_close(doubled[name], value)
        torch.testing.assert_close(shared[name], value * 2)


def test_losses_do_not_depend_on_the_size_in_pixels():
    head, inputs = make_head(), head_inputs()
    small = head.loss(**inputs, batch_data_samples=make_samples())
    large = head.loss(**inputs, batch_data_samples=make_samples(scale=10))
    for name, value in small.items():
        torch.testing.assert_close(large[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss_cls", [None, FOCAL])
@pytest.mark.parametrize("counts", [(MOST, 2), (0, 0)])
def test_every_parameter_and_every_box_gets_a_gradient(loss_cls, counts):
    head, inputs = make_head(loss_cls=loss_cls), head_inputs(GROUPS * 2 * max(counts))
    losses = head.loss(**inputs, batch_data_samples=make_samples(counts))
    if not any(counts):
        assert all(value == 0 for name, value in losses.items() if "bbox" in name or "iou" in name or "dn_" in name)
        assert losses["loss_cls"] > 0
    sum(losses.values()).backward()
    leaves = [inputs["boxes"], inputs["hidden_states"], *inputs["hybrid"].values()]
    assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves)
    assert all(branch.weight.grad is not None for branch in head.cls_branches[:LAYERS])


def test_losses_in_bfloat16_are_close():
    head, inputs, samples = make_head(), head_inputs(), make_samples()
    exact = head.loss(**inputs, batch_data_samples=samples)
    with torch.autocast("cpu", torch.bfloat16):
        half = head.loss(**inputs, batch_data_samples=samples)
    for name, value in exact.items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], value, rtol=0.03, atol=0.03)


def test_a_label_without_a_class_is_an_error_before_anything_is_matched():
    samples = make_samples()
    samples[0].gt_instances.labels[1] = CLASSES
    with pytest.raises(ValueError, match=rf"3\.jpg: labels \[{CLASSES}\]"):
        make_head().loss(**head_inputs() | {"dn_meta": None}, batch_data_samples=samples)


def test_another_assigner_is_refused_with_the_one_to_set():
    assigner = dict(type="HungarianAssigner", match_costs=[dict(type="BBoxL1Cost")])
    with pytest.raises(TypeError, match="is HungarianAssigner, set its type to BatchedHungarianAssigner"):
        make_head(train_cfg=dict(assigner=assigner))


def detect(head: RelationDETRHead, boxes: Tensor, rescale: bool = True) -> InstanceData:
    torch.manual_seed(1)
    states = torch.randn(LAYERS, 1, boxes.shape[0], DIMS)
    meta = dict(img_shape=(60, 90), scale_factor=(0.5, 0.75), ori_shape=(80, 180))
    sample = DetDataSample(metainfo=meta)
    (found,) = head.predict(states, boxes.expand(LAYERS, 1, -1, -1), [sample], rescale=rescale)
    return found


OUTSIDE = torch.tensor([[0.1, 0.5, 0.6, 0.4], [0.9, 0.9, 0.4, 0.4], [0.5, 0.5, 0.2, 0.2]])


def test_detections_are_boxes_of_the_original_image_and_not_clipped():
    found = detect(make_head(), OUTSIDE)
    assert len(found) == 3 * CLASSES  # fewer than the 300 that are asked for
    assert (found.scores[:-1] >= found.scores[1:]).all()
    expected = bbox_cxcywh_to_xyxy(OUTSIDE) * torch.tensor([180.0, 80.0, 180.0, 80.0])
    for label in range(CLASSES):
        of_label = found.bboxes[found.labels == label]
        torch.testing.assert_close(of_label.sort(0).values, expected.sort(0).values)
    assert found.bboxes.min() < 0
    assert found.bboxes[:, 2].max() > 180
    torch.testing.assert_close(
        detect(make_head(), OUTSIDE, rescale=False).bboxes, found.bboxes * torch.tensor([0.5, 0.75, 0.5, 0.75])
    )


def test_detections_are_clipped_where_asked():
    free = detect(make_head(), OUTSIDE)
    clipped = detect(make_head(test_cfg=dict(max_per_img=5, clip=True)), OUTSIDE)
    assert len(clipped) == 5
    torch.testing.assert_close(clipped.scores, free.scores[:5])
    torch.testing.assert_close(clipped.bboxes, free.bboxes[:5].clamp(min=0).minimum(torch.tensor([180.0, 80.0] * 2)))


def test_predicting_runs_the_last_class_branch_alone():
    head, ran = make_head(), []
    for number, branch in enumerate(head.cls_branches):
        branch.register_forward_hook(lambda *_, number=number: ran.append(number))
    detect(head, OUTSIDE)
    assert ran == [LAYERS - 1]


def test_branches_start_as_the_official_ones():
    head = make_head()
    head.init_weights()
    classes = [*head.cls_branches, head.hybrid_cls_branch]
    boxes = [*head.reg_branches, head.hybrid_reg_branch]
    assert all(branch.bias.tolist() == pytest.approx([-math.log(99)] * CLASSES) for branch in classes)
    for branch in boxes:
        linears = [layer for layer in branch if isinstance(layer, nn.Linear)]
        assert not linears[-1].weight.any()
        assert not any(layer.bias.any() for layer in linears)
        bound = math.sqrt(6 / (2 * DIMS))  # xavier
        assert 0.8 * bound < linears[0].weight.abs().max() <= bound
    weights = [branch.weight for branch in classes], [branch[0].weight for branch in boxes]
    for of_decoder in (one[:LAYERS] for one in weights):
        assert all(weight.equal(of_decoder[0]) for weight in of_decoder)
        assert len({id(weight) for weight in of_decoder}) == LAYERS
    for of_decoder, of_encoder, of_hybrid in ((one[0], one[LAYERS], one[-1]) for one in weights):
        assert not of_decoder.equal(of_encoder)
        assert not of_encoder.equal(of_hybrid)


def test_one_stage_and_no_hybrid_branch_have_no_such_branches():
    head = RelationDETRHead(CLASSES, DIMS, num_pred_layer=LAYERS, as_two_stage=False)
    head.init_weights()
    assert not any("hybrid" in name for name in head.state_dict())
    assert all(branch[-1].bias.tolist() == [0.0] * 4 for branch in head.reg_branches)  # mmdet's first has -2 for sizes
    assert len(detect(head, OUTSIDE)) == 3 * CLASSES
