"""The detector: every gradient, padding, batches, layer drop, precision, initial weights, and mmdet's conventions."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import nn

from mm_vidt.models.vidt import ViDT, padding_mask, valid_ratio

DIMS, CLASSES, QUERIES, SIDE = 32, 5, 12, 96
PLUS = dict(
    neck=dict(type="EPFF", in_channels=[32, 64, 128, DIMS], out_channels=DIMS),
    bbox_head=dict(type="ViDTHead", num_classes=CLASSES, iou_aware=True, with_vector=True, token_label=True),
)
PLAIN = dict(
    neck=dict(
        type="ChannelMapper",
        in_channels=[32, 64, 128, DIMS],
        kernel_size=1,
        out_channels=DIMS,
        norm_cfg=dict(type="GN", num_groups=32),
        bias=True,
        act_cfg=None,
        num_outs=4,
    ),
    bbox_head=dict(type="ViDTHead", num_classes=CLASSES),
)
KINDS = {
    "plain": PLAIN,
    "plus": PLUS,
    "norefine": PLAIN | dict(bbox_head=dict(type="ViDTHead", num_classes=CLASSES, with_box_refine=False)),
}
BOXES = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 44.0, 50.0]])


def settings(kind, **changes):
    body = dict(
        type="ViDTSwinTransformer",
        arch=dict(embed_dims=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0),
        num_det_tokens=QUERIES,
        det_pos_dims=DIMS,
    )
    decoder = dict(num_layers=3, embed_dims=DIMS, num_heads=4, feedforward_channels=48, dropout=0.0)
    return copy.deepcopy(dict(type="ViDT", backbone=body, decoder=decoder, **KINDS[kind]) | changes)


def build(kind="plus", **changes):
    torch.manual_seed(0)
    model = MODELS.build(settings(kind, **changes))
    model.init_weights()
    return model


def awake(model):
    """Give layers that start at zero, and so pass no gradient on, other weights; return the model in training mode."""
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if not parameter.any() or "sampling_offsets" in name:
            nn.init.normal_(parameter, std=0.1)
    return model.train()


def batch(counts=(2, 1), shapes=((SIDE, SIDE), (SIDE, 64))):
    """Return images of several sizes, padded with zeros, and samples with boxes and masks."""
    torch.manual_seed(1)
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    images, samples = torch.zeros(len(shapes), 3, height, width), []
    for image, count, (h, w) in zip(images, counts, shapes, strict=True):
        image[:, :h, :w] = torch.randn(3, h, w)
        metas = dict(img_shape=(h, w), ori_shape=(2 * h, 3 * w), batch_input_shape=(height, width), img_id=len(samples))
        sample = DetDataSample(metainfo=metas)
        boxes = BOXES[:count]
        masks = np.zeros((count, h, w), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        labels = torch.tensor([1, 3])[:count]
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=BitmapMasks(masks, h, w))
        samples.append(sample)
    return images, samples


def total(losses):
    return sum(value for name, value in losses.items() if "loss" in name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    model = awake(build(kind))
    total(model.loss(*batch())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_without_targets_every_parameter_still_gets_a_gradient(kind):
    model = awake(build(kind))
    losses = model.loss(*batch(counts=(0, 0)))
    assert all(value.isfinite() for value in losses.values())
    total(losses).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_layers_computed_again_change_nothing():
    plain = awake(build())
    again = copy.deepcopy(plain)
    again.decoder.with_cp = True
    for model in (plain, again):
        total(model.loss(*batch())).backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_stays_finite_and_close(kind):
    model = awake(build(kind))
    images, samples = batch()
    exact = model.loss(images, samples)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(images, samples)
        with torch.no_grad():
            logits, boxes = model.eval()(images, samples)[:2]
    expected = model(images, samples)[:2]
    assert boxes.dtype == torch.float32
    assert (logits - expected[0]).abs().mean() < 0.02 * expected[0].abs().mean()
    assert (boxes - expected[1]).abs().mean() < 0.02 * expected[1].abs().mean()
    assert total(rough).item() == pytest.approx(total(exact).item(), rel=0.05)
    total(rough).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_points_are_not_rounded_by_autocast(kind):
    """Rounded to bf16 they alone turn a trained detector's gradient."""
    model, (images, samples) = awake(build(kind)), batch()
    exact = model.forward_tokens(images, padding_mask(images, samples))
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.forward_tokens(images, padding_mask(images, samples))
    assert torch.equal(rough.reference, exact.reference)
    assert torch.equal(rough.query_pos, exact.query_pos)
    assert rough.hidden.dtype == torch.bfloat16


def test_padding_is_what_lies_beyond_the_image():
    images, samples = batch(shapes=((5, 7), (6, 3)))
    mask = padding_mask(images, samples)
    for one, (height, width) in zip(mask, ((5, 7), (6, 3)), strict=True):
        expected = torch.ones(6, 7, dtype=torch.bool)
        expected[:height, :width] = False
        assert torch.equal(one, expected)
    assert not padding_mask(images, None).any()


def test_valid_ratios_are_parts_of_width_and_height():
    mask = torch.zeros(2, 4, 6, dtype=torch.bool)
    mask[1, 3:] = mask[1, :, 2:] = True
    torch.testing.assert_close(valid_ratio(mask), torch.tensor([[1.0, 1.0], [2 / 6, 3 / 4]]))


def test_masks_of_maps_are_of_their_sizes_in_their_order():
    model = build().eval()
    images, samples = batch(shapes=((64, 96), (48, 64)))
    with torch.no_grad():
        tokens = model.forward_tokens(images, padding_mask(images, samples))
        maps = model.extract_feat(images, samples)
    sizes = [(1, 2), (2, 3), (4, 6), (8, 12)]
    assert [tuple(one.shape) for one in tokens.memory] == [(2, DIMS, *size) for size in sizes]
    assert [tuple(one.shape) for one in tokens.masks] == [(2, *size) for size in sizes]
    # the second image is three quarters as high and two thirds as wide as the canvas
    assert tokens.masks[3][1].tolist() == [[row >= 6 or column >= 8 for column in range(12)] for row in range(8)]
    assert not any(one[0].any() for one in tokens.masks)
    assert all(torch.equal(one, other) for one, other in zip(maps, tokens.memory, strict=True))
    with torch.no_grad():
        plain = build("plain").eval().extract_feat(images, samples)
    assert [tuple(one.shape[-2:]) for one in plain] == sizes[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_s_prediction_does_not_depend_on_its_neighbour(kind):
    model = awake(build(kind)).eval().double()  # float32 rounds two images and one in other blocks otherwise
    images, samples = batch()
    with torch.no_grad():
        together = model(images.double(), samples)[:2]  # logits and boxes, (L + 1, B, N, ...)
        alone = model(images[1:].double(), samples[1:])[:2]
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[:, 1:], one)


def test_boxes_are_parts_of_the_original_picture_without_padding():
    """The second picture is narrower than the canvas, and each axis has a scale of its own."""
    model = awake(build("plain")).eval()
    images, samples = batch()
    with torch.no_grad():
        logits, boxes = model(images, samples)
        found = model.predict(images, samples)
    for image, (height, width) in enumerate([(2 * SIDE, 3 * SIDE), (2 * SIDE, 3 * 64)]):
        queries = logits[-1, image].sigmoid().flatten().topk(QUERIES * CLASSES).indices // CLASSES
        corners = bbox_cxcywh_to_xyxy(boxes[-1, image, queries])
        expected = corners * torch.tensor([width, height, width, height])
        torch.testing.assert_close(found[image].pred_instances.bboxes, expected)


def test_predictions_are_those_of_the_tensors():
    model = awake(build()).eval()
    images, samples = batch()
    with torch.no_grad():
        logits, boxes, vectors = model(images, samples)[:3]
        found = model.predict(images, samples, rescale=False)
    coder = model.bbox_head.criterion.mask_coder
    for image, sample in enumerate(found):
        one, (height, width) = sample.pred_instances, sample.img_shape
        scores, places = logits[-1, image].sigmoid().flatten().topk(QUERIES * CLASSES)
        torch.testing.assert_close(one.scores, scores)
        x, y, w, h = boxes[-1, image][places // CLASSES].unbind(1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
        torch.testing.assert_close(one.bboxes, corners * torch.tensor([width, height, width, height]))
        masks = coder.masks(vectors[-1, image][places // CLASSES], one.bboxes, height, width)
        assert (masks != one.masks).float().mean() < 1e-3  # a coefficient's last bit may flip a pixel


def test_the_tensors_are_all_predictions_in_order():
    with torch.no_grad():
        found = build().eval()(*batch())
    shapes = [tuple(one.shape) for one in found]
    assert shapes[:4] == [(4, 2, QUERIES, last) for last in (CLASSES, 4, 256, 1)]
    assert shapes[4:] == [(2, size, size, CLASSES + 1) for size in (2, 3, 6, 12)]
    assert len(build("plain").eval()(*batch())) == 2


def test_a_model_of_no_weights_knows_its_shapes():
    with torch.device("meta"):
        model = MODELS.build(settings("plus")).to("meta").eval()
        found = model(torch.empty(1, 3, SIDE, 96), mode="tensor")
    assert found[0].shape == (4, 1, QUERIES, CLASSES)


def test_dropped_layers_leave_the_predictions_of_those_that_stay():
    whole = awake(build()).eval()
    fewer = build(decoder=settings("plus")["decoder"] | dict(num_layers=2)).eval()
    missing = fewer.load_state_dict(whole.state_dict(), strict=False)
    assert not missing.missing_keys
    assert all(".3." in key or "layers.2." in key for key in missing.unexpected_keys)
    with torch.no_grad():
        logits, boxes = whole(*batch())[:2]
        few_logits, few_boxes = fewer(*batch())[:2]
    assert torch.equal(few_logits, logits[:3])
    assert torch.equal(few_boxes, boxes[:3])


def test_predicting_runs_each_box_branch_once_and_no_head_of_training():
    model, ran = awake(build()).eval(), []
    for name, module in model.bbox_head.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.no_grad():
        model.predict(*batch())
    boxes = [f"reg_branches.{level}.{layer}" for level in range(4) for layer in (0, 2, 4)]
    assert ran == [*boxes, "cls_branches.3", *(f"vector_branch.{layer}" for layer in (0, 2, 4))]


def test_training_runs_each_box_branch_once():
    model, ran = awake(build("plain")), []
    for name, module in model.bbox_head.reg_branches.named_children():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    model.loss(*batch())
    assert ran == ["0", "1", "2", "3"]


def test_masks_and_boxes_go_through_mmdets_metric(tmp_path):
    """Detections that are the objects, the middles of boxes, have all precision."""
    model, (_, samples) = build().eval(), batch()
    listed = {"images": [], "annotations": [], "categories": [{"id": 7 + label} for label in range(CLASSES)]}
    crop = torch.zeros(1, 128, 128)
    crop[:, 32:96, 32:96] = 1
    vector = model.bbox_head.criterion.mask_coder.encode(crop)
    for sample in samples:
        truth, (height, width) = sample.gt_instances, sample.ori_shape
        listed["images"].append(dict(id=sample.img_id, height=height, width=width))
        unit = truth.bboxes / torch.tensor(sample.img_shape[::-1]).repeat(2)
        centre, side = (unit[:, :2] + unit[:, 2:]) / 2, unit[:, 2:] - unit[:, :2]
        found = model.bbox_head.predict_by_feat(
            torch.ones(1, len(truth)),
            truth.labels[None],
            torch.cat([centre, side], 1)[None],
            vector.expand(1, len(truth), -1),
            [sample.metainfo],
        )
        model.add_pred_to_datasample([sample], found)
        for (x, y), (w, h), label in zip(centre.tolist(), side.tolist(), truth.labels.tolist(), strict=True):
            corners = [(x + across * w / 4, y + down * h / 4) for across, down in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            outline = [value for u, v in corners for value in (u * width, v * height)]
            box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
            one = dict(image_id=sample.img_id, category_id=7 + label, bbox=box, segmentation=[outline], iscrowd=0)
            listed["annotations"].append(one | dict(id=len(listed["annotations"]) + 1, area=box[2] * box[3]))
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(listed))
    metric = CocoMetric(str(file), metric=["bbox", "segm"])
    metric.dataset_meta = dict(classes=tuple("abcde"))
    metric.cat_ids, metric.img_ids = [7 + label for label in range(CLASSES)], [0, 1]
    metric.process({}, [sample.to_dict() for sample in samples])
    scores = metric.evaluate(size=2)
    assert scores["coco/bbox_mAP"] == pytest.approx(1)
    assert scores["coco/segm_mAP_75"] == pytest.approx(1)


def test_mmdets_preprocessor_gives_what_the_model_takes():
    preprocessor = DetDataPreprocessor(mean=[0.0] * 3, std=[1.0] * 3, pad_size_divisor=1, pad_mask=False)
    model = build(data_preprocessor=preprocessor).eval()
    _, samples = batch(shapes=((50, 37), (41, 60)))
    pictures = [torch.zeros(3, *sample.img_shape, dtype=torch.uint8) for sample in samples]
    with torch.no_grad():
        found = model.test_step({"inputs": pictures, "data_samples": samples})
    assert all(len(sample.pred_instances) == QUERIES * CLASSES for sample in found)
    assert found[1].pred_instances.masks.shape == (QUERIES * CLASSES, 82, 180)


def test_projections_start_xavier_uniform_without_bias():
    model = build("plain")
    pointing = model.tgt_proj[0], model.query_pos_proj[0], model.reference_points_fc
    for part in (*pointing, *(one.conv for one in model.neck.convs)):
        bound = math.sqrt(6 / sum(part.weight.shape[:2]))
        assert 0.8 * bound < part.weight.abs().max() <= bound
        assert not part.bias.any()


@pytest.mark.parametrize("part", ["", "neck", "bbox_head"])
def test_a_pretrained_file_is_the_last_word_on_every_weight(tmp_path, part):
    """Of the whole detector, or of a part with an ``init_cfg`` of its own; a second call draws nothing either."""
    saved, file = awake(build()).state_dict(), tmp_path / "ours.pth"
    torch.save({"state_dict": saved}, file)
    source = dict(type="Pretrained", checkpoint=str(file))
    changes = {part: PLUS[part] | dict(init_cfg=source | dict(prefix=f"{part}."))} if part else dict(init_cfg=source)
    model = build(**changes)
    model.init_weights()
    for key, value in model.state_dict().items():
        assert not key.startswith(part) or torch.equal(value, saved[key]), key


def test_tables_of_levels_are_those_of_the_last_sizes(monkeypatch):
    """New ones in every step would let the operator wait for the device to read them."""
    model, taken = build("plain").eval(), []
    forward = model.decoder.forward
    monkeypatch.setattr(model.decoder, "forward", lambda *args: taken.append(args[2]) or forward(*args))
    with torch.inference_mode():
        model(torch.randn(1, 3, SIDE, 64))
    for width in (64, SIDE, 64):
        model(torch.randn(1, 3, SIDE, width))
    first, again, wider, last = taken
    assert not first.shapes.is_inference()
    assert (again.shapes is first.shapes, again.starts is first.starts) == (True, True)
    for one, expected in ((first, 64), (wider, SIDE), (last, 64)):
        sizes = [[SIDE // stride, expected // stride] for stride in (8, 16, 32)] + [[2, -(-expected // 64)]]
        assert one.shapes.tolist() == sizes
        assert one.starts.tolist() == [sum(h * w for h, w in sizes[:level]) for level in range(4)]


def test_tokens_are_projected_together():
    """The norm's statistics are those of all tokens of an image: another one changes them all."""
    model = build().eval()
    tokens = torch.randn(1, QUERIES, 128)
    changed = tokens.clone()
    changed[:, 0] += 3
    one, other = (model.tgt_proj(x.transpose(1, 2)[..., None]) for x in (tokens, changed))
    assert (one != other).any(1).all()


@pytest.mark.parametrize(("name", "value", "right"), [("num_levels", 7, 4), ("embed_dims", 256, DIMS)])
def test_a_head_of_another_size_than_the_decoder_is_refused(name, value, right):
    head = PLUS["bbox_head"] | {name: value}
    with pytest.raises(ValueError, match=f"bbox_head has {name}={value}, the decoder gives {right}: leave it out"):
        build(bbox_head=head)


def test_a_config_is_built_twice():
    given = settings("plus")
    assert [type(MODELS.build(given)) for _ in range(2)] == [ViDT, ViDT]
    assert given == settings("plus")


def test_a_neck_of_another_number_of_maps_is_refused():
    model = build("plain", neck=PLAIN["neck"] | dict(num_outs=5))
    with pytest.raises(ValueError, match="the neck gives 5 maps, the decoder has num_levels=4"):
        model.loss(*batch())
