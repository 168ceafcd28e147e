"""Co-DETR's detector: what its auxiliary heads add in training, and what is left of them in the test."""

from functools import cache
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

import mm_vit_comer.models.co_detr  # noqa: F401  registers it
from mm_vit_comer.models.co_detr.co_detr import BRANCHES
from mm_vit_comer.models.co_detr.positives import Positives
from mmrepro.testing import load_config, tiny

CONFIG = Path(__file__).resolve().parents[1] / "configs/vit_comer/co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco.py"
SIZE = (64, 96)


@cache
def settings():
    return tiny(load_config(CONFIG))


def detector(**changed):
    """Return a tiny one, drawn anew and always alike."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(dict(settings().model, **changed))
    model.init_weights()
    return model


def sample(boxes=((4.0, 6.0, 40.0, 50.0), (30.0, 8.0, 90.0, 60.0)), shape=SIZE):
    one = DetDataSample(metainfo=dict(img_shape=shape, batch_input_shape=SIZE, pad_shape=SIZE, scale_factor=(1.0, 1.0)))
    here = torch.tensor(boxes).reshape(-1, 4)
    one.gt_instances = InstanceData(bboxes=here, labels=torch.arange(len(here)))
    return one


def losses_of(model, samples, seed=0):
    torch.manual_seed(seed)
    pictures = torch.randn(len(samples), 3, *SIZE, generator=torch.Generator().manual_seed(1))
    return model.train().loss(pictures, samples)


@cache
def step():
    """Return a model and its losses; the tests run their gradients back through one graph."""
    model = detector()
    return model, losses_of(model, [sample()])


def reached(*prefixes):
    """Return the model, and which of its parameters get a gradient from the losses of these names."""
    model, losses = step()
    model.zero_grad()
    total(model, {name: one for name, one in losses.items() if name.startswith(prefixes)}).backward(retain_graph=True)
    return model, {name for name, one in model.named_parameters() if one.grad is not None}


def total(model, losses):
    return model.parse_losses(losses)[0]


@pytest.mark.parametrize("shape", [SIZE, (50, 70)])
def test_a_step_has_every_loss_and_reaches_every_parameter(shape):
    model = detector()
    losses = losses_of(model, [sample(), sample(boxes=((4.0, 6.0, 40.0, 45.0),), shape=shape)])
    assert {name.split(".")[0] for name in losses if "." in name} == {"d0", "rpn", *BRANCHES, "roi_query", "atss_query"}
    result = total(model, losses)
    result.backward()
    assert torch.isfinite(result)
    bad = [name for name, one in model.named_parameters() if one.grad is None or not torch.isfinite(one.grad).all()]
    assert bad == []


@pytest.mark.parametrize("boxes", [[()], [(), ((4.0, 6.0, 40.0, 50.0),)]])
def test_images_without_boxes_train_every_parameter_too(boxes):
    model = detector()
    losses = losses_of(model, [sample(boxes=one) for one in boxes])
    total(model, losses).backward()
    assert [name for name, one in model.named_parameters() if one.grad is None] == []
    assert all(torch.isfinite(one.grad).all() for one in model.parameters())
    if not any(boxes):
        assert all(value.sum() == 0 for name, value in losses.items() if "_query." in name and "loss_cls" not in name)


def test_losses_of_auxiliary_heads_are_weighted_and_nothing_else():
    weighted, plain = step()[1], losses_of(detector(auxiliary_weight=1.0), [sample()])
    assert plain.keys() == weighted.keys()
    for name in plain:
        auxiliary = name.split(".")[0] in ("rpn", "roi", "atss") and "loss" in name
        for one, other in zip(as_list(plain[name]), as_list(weighted[name]), strict=True):
            torch.testing.assert_close(other, one * (12.0 if auxiliary else 1.0))


def as_list(value):
    return value if isinstance(value, list) else [value]


def test_the_config_has_the_published_weights():
    model = load_config(CONFIG).model
    assert (model.auxiliary_weight, model.num_queries) == (2.0 * model.decoder.num_layers, 900)
    assert (model.roi_head.bbox_head.loss_bbox.loss_weight, model.atss_head.loss_bbox.loss_weight) == (10.0, 2.0)
    assert (model.bbox_head.loss_bbox.loss_weight, model.bbox_head.loss_iou.loss_weight) == (5.0, 2.0)
    assert model.test_cfg == dict(max_per_img=300, nms=dict(type="soft_nms", iou_threshold=0.8))


def test_the_config_trains_as_published():
    config = load_config(CONFIG)
    wrapper, dataset = config.optim_wrapper, config.train_dataloader.dataset
    assert (wrapper.optimizer.lr, wrapper.optimizer.weight_decay, wrapper.clip_grad.max_norm) == (1e-4, 0.05, 0.1)
    assert wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1
    assert (config.train_cfg.max_epochs, config.param_scheduler[0].milestones) == (16, [8])
    assert not dataset.filter_cfg.filter_empty_gt
    sizes = dataset.pipeline[-2].transforms[0][0].scales
    assert (tuple(sizes[0]), tuple(sizes[-1]), len(sizes)) == ((480, 2176), (1600, 2176), 36)


def test_auxiliary_heads_read_the_encoder():
    """Their losses reach it, and through it the backbone; the decoder has no part in them."""
    model, found = reached("rpn.", "roi.", "atss.")
    names = {name for name, _ in model.named_parameters()}
    assert {name for name in names if name.startswith(("encoder.", "neck.", "downsample.", "rpn_head."))} <= found
    assert "backbone.patch_embed.proj.weight" in found
    assert not any(name.startswith(("decoder.", "bbox_head.", "positive_queries.")) for name in found)


@pytest.mark.parametrize("branch", BRANCHES)
def test_positives_train_the_decoder_and_the_encoder_behind_it(branch):
    model, found = reached(f"{branch}_query.")
    names = {name for name, _ in model.named_parameters()}
    mine = ("decoder.", "encoder.", "neck.", f"positive_queries.{branch}.")
    assert {name for name in names if name.startswith(mine)} <= found
    others = tuple(f"positive_queries.{name}." for name in BRANCHES if name != branch)
    strangers = ("rpn_head.", "roi_head.", "atss_head.", "query_embedding.", *others)
    assert not any(name.startswith(strangers) for name in found)


def test_positives_learn_as_if_each_image_were_alone():
    """Queries that fill an image up, because another one has more, change nothing for its own."""
    model = detector().train()
    one = Positives(torch.tensor([[4.0, 6.0, 40.0, 50.0]]), torch.tensor([1]), torch.tensor([[6.0, 6.0, 44.0, 50.0]]))
    three = Positives(one.boxes + torch.tensor([[0.0], [9.0], [20.0]]), torch.arange(3), one.targets.repeat(3, 1))
    samples = [sample(), sample()]
    with torch.no_grad():
        encoder_inputs, inputs = model.pre_transformer(model.extract_feat(torch.randn(2, 3, *SIZE)), samples)
        inputs["memory"] = model.forward_encoder(**encoder_inputs)["memory"]
        both = model._positive_losses("roi", [one, three], inputs, samples)
        alone = []
        for i, found in enumerate((one, three)):
            mine = dict(inputs, **{name: inputs[name][i : i + 1] for name in ("memory", "valid_ratios")})
            alone.append(model._positive_losses("roi", [found], mine, samples[:1]))
    for name, value in both.items():
        torch.testing.assert_close(value * 4, alone[0][name] + 3 * alone[1][name])


def test_prediction_leaves_the_auxiliary_heads_alone():
    model = detector().eval()
    for part in (model.rpn_head, model.roi_head, model.atss_head, model.positive_queries):
        for one in part.parameters():
            torch.nn.init.constant_(one, float("nan"))
    with torch.no_grad():
        found = model.predict(torch.randn(2, 3, *SIZE), [sample(), sample()])
    for one in found:
        boxes, scores = one.pred_instances.bboxes, one.pred_instances.scores
        assert 0 < len(boxes) <= 30
        assert torch.isfinite(boxes).all()
        assert (scores[:-1] >= scores[1:]).all()


def test_soft_nms_lowers_the_score_of_what_overlaps_and_keeps_it():
    head = detector().bbox_head
    logits = torch.full((4, 3), -9.0)
    logits[0, 1], logits[1, 1], logits[2, 1], logits[3, 2] = 3.0, 2.0, 1.0, 2.5
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.4, 0.41], [0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.4, 0.4]])
    head.test_cfg = dict(max_per_img=4)
    meta = dict(img_shape=(100, 100), scale_factor=(1.0, 1.0))
    plain = head._predict_by_feat_single(logits, boxes, meta)
    head.test_cfg = dict(max_per_img=4, nms=dict(type="soft_nms", iou_threshold=0.8))
    soft = head._predict_by_feat_single(logits, boxes, meta)
    torch.testing.assert_close(plain.scores, torch.tensor([3.0, 2.5, 2.0, 1.0]).sigmoid())
    assert soft.labels.tolist() == [1, 2, 1, 1]  # the second box of class 1 is now the last
    torch.testing.assert_close(soft.scores[:3], torch.tensor([3.0, 2.5, 1.0]).sigmoid())
    assert 0 < soft.scores[3] < 0.1
    torch.testing.assert_close(soft.bboxes[3], torch.tensor([30.0, 29.5, 70.0, 70.5]))


def test_another_loss_than_quality_focal_is_refused():
    with pytest.raises(ValueError, match="QualityFocalLoss"):
        detector(bbox_head=dict(settings().model.bbox_head, loss_cls=dict(type="FocalLoss", use_sigmoid=True)))
