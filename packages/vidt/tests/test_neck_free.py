"""The detector without a neck: its gradients, detections, initial weights and precision."""

import copy
import math

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mm_vidt.models.neck_free import ViDTNeckFreeHead

DIMS, CLASSES, QUERIES = 32, 5, 12
BODY = dict(
    type="ViDTSwinTransformer",
    arch=dict(embed_dims=16, depths=(1, 1, 1, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0),
    num_det_tokens=QUERIES,
    det_pos_dims=DIMS,
    last_merging=False,
)


def build(**changes):
    torch.manual_seed(0)
    head = dict(type="ViDTNeckFreeHead", num_classes=CLASSES, embed_dims=DIMS)
    model = MODELS.build(copy.deepcopy(dict(type="ViDTNeckFree", backbone=BODY, bbox_head=head) | changes))
    model.init_weights()
    return model


def batch(counts=(2, 1)):
    torch.manual_seed(1)
    images, samples = torch.randn(2, 3, 64, 64), []
    images[1, :, :, 48:] = 0
    for count, width in zip(counts, (64, 48), strict=True):
        sample = DetDataSample(metainfo=dict(img_shape=(64, width), ori_shape=(128, 3 * width)))
        boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 44.0, 50.0]])[:count]
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1, 3])[:count])
        samples.append(sample)
    return images, samples


@pytest.mark.parametrize("counts", [(2, 1), (0, 0)])
def test_every_parameter_gets_a_gradient_but_the_frozen_one(counts):
    """What the last block makes of patches is read by no token, so the bias of its windows has no gradient."""
    model = build().train()
    losses = model.loss(*batch(counts))
    assert set(losses) == {"loss_cls", "loss_bbox", "loss_iou"}
    sum(losses.values()).backward()
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["backbone.stages.3.blocks.1.attn.w_msa.relative_position_bias_table"]
    for name, parameter in model.named_parameters():
        assert name in frozen or (parameter.grad is not None and parameter.grad.isfinite().all()), name
        assert not any(counts) or name in frozen or parameter.grad.any(), name


COAT = dict(type="ViDTCoaT", num_det_tokens=QUERIES, det_pos_dims=DIMS, last_merging=False)
WIDTHS = dict(embed_dims=(16, 32, 64, 128), mlp_ratios=(2, 2, 2, 2))


def test_every_parameter_of_coat_gets_a_gradient():
    model = build(backbone=COAT | dict(arch=dict(WIDTHS, depths=(1, 1, 1, 2)))).train()
    sum(model.loss(*batch()).values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (BODY | dict(cross_stages=(2, 1)), r"cross_stages=\(1, 2\): .*patches of the last stage. Fix: add 3"),
        (BODY | dict(last_merging=True), "last_merging=True: .* Fix: last_merging=False"),
        (COAT | dict(arch=dict(WIDTHS, depths=(1, 1, 1, 1))), "depths is 1: .* Fix: 2 or more"),
    ],
    ids=["cross-stages", "merging", "coat"],
)
def test_bodies_with_weights_that_no_token_reads_are_refused(backbone, message):
    """They get no gradient, which ends the training of several processes in its second step."""
    with pytest.raises(ValueError, match=message):
        build(backbone=backbone)


def test_each_query_is_a_detection_of_its_best_class():
    head = ViDTNeckFreeHead(CLASSES, DIMS)
    torch.manual_seed(2)
    logits, boxes = torch.randn(2, QUERIES, CLASSES + 1), torch.rand(2, QUERIES, 4)
    logits[0, 0, -1] = 10.0  # it is background, and kept all the same
    metas = [dict(ori_shape=(40, 60), img_shape=(20, 20)), dict(ori_shape=(30, 50), img_shape=(15, 50))]
    for rescale, name in ((True, "ori_shape"), (False, "img_shape")):
        for image, found in enumerate(head.predict_by_feat(logits, boxes, metas, rescale)):
            height, width = metas[image][name]
            for query in range(QUERIES):
                chances = [math.exp(value) for value in logits[image, query].tolist()]
                label = max(range(CLASSES), key=chances.__getitem__)
                assert found.labels[query] == label
                assert found.scores[query].item() == pytest.approx(chances[label] / sum(chances), rel=1e-5)
                x, y, w, h = boxes[image, query].tolist()
                corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
                assert found.bboxes[query].tolist() == pytest.approx(corners, rel=1e-5, abs=1e-5)


def test_predictions_are_those_of_the_tensors():
    model = build(
        bbox_head=dict(type="ViDTNeckFreeHead", num_classes=CLASSES, embed_dims=DIMS, test_cfg=dict(clip=True))
    )
    images, samples = batch()
    with torch.no_grad():
        logits, boxes = model.eval()(images, samples)
        found = model.predict(images, samples)[1].pred_instances
    assert (logits.shape, boxes.shape) == ((1, 2, QUERIES, CLASSES + 1), (1, 2, QUERIES, 4))
    torch.testing.assert_close(found.scores, logits[0, 1].softmax(-1)[:, :-1].max(-1).values)
    x, y, w, h = boxes[0, 1].unbind(1)
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).clamp(0, 1)
    torch.testing.assert_close(found.bboxes, corners * torch.tensor([144, 128, 144, 128]))


def test_bf16_stays_finite_and_close():
    model = build().train()
    exact = model.loss(*batch())
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(*batch())
    for name, value in exact.items():
        assert rough[name].item() == pytest.approx(value.item(), rel=0.05), name
    sum(rough.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.requires_grad)


def test_weights_start_as_officially():
    model = build()
    weight = model.input_proj[0].weight
    bound = math.sqrt(6 / sum(weight.shape[:2]))
    assert 0.9 * bound < weight.abs().max() <= bound
    assert not model.input_proj[0].bias.any()
    for branch in (model.bbox_head.cls_branch, model.bbox_head.reg_branch):  # PyTorch's defaults
        assert all(branch[layer].bias.any() for layer in (0, 2, 4))


def test_a_pretrained_file_is_the_last_word_on_every_weight(tmp_path):
    torch.manual_seed(3)
    saved = {key: torch.randn_like(value) for key, value in build().state_dict().items()}
    torch.save({"state_dict": saved}, tmp_path / "ours.pth")
    model = build(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "ours.pth")))
    model.init_weights()
    for key, value in model.state_dict().items():
        assert torch.equal(value, saved[key]), key
