"""The five detectors, small: gradients, what training and predicting compute, few tokens, no targets, and options."""

import copy
import math

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import nn

from mm_relation_detr.models import (  # noqa: F401  register
    dab_deformable_detr_pp,
    deformable_detr_pp,
    dino_pp,
    dn_deformable_detr_pp,
    relation_detr,
    relation_head,
)
from mm_relation_detr.raw_prediction import RawPrediction

KINDS = ("RelationDETR", "DINOPP", "DABDeformableDETRPP", "DNDeformableDETRPP", "DeformableDETRPP")
DIMS, LEVELS, CLASSES, QUERIES, SIDE = 16, 4, 5, 12, 96
BOXES = torch.tensor([[10.0, 10.0, 40.0, 50.0], [30.0, 20.0, 90.0, 80.0]])


def build(kind="RelationDETR", **changes):
    torch.manual_seed(0)
    attention = dict(embed_dims=DIMS, num_heads=4, num_levels=LEVELS)
    ffn = dict(embed_dims=DIMS, feedforward_channels=32)
    decoder_layer = dict(
        self_attn_cfg=dict(embed_dims=DIMS, num_heads=4), cross_attn_cfg=dict(attention), ffn_cfg=dict(ffn)
    )
    plain_loss = {} if kind == "RelationDETR" else dict(loss_cls=dict(type="FocalLoss", use_sigmoid=True))
    settings = dict(
        type=kind,
        num_queries=QUERIES,
        num_feature_levels=LEVELS,
        backbone=dict(type="ResNet", depth=18, base_channels=4, out_indices=(1, 2, 3), norm_eval=True),
        neck=dict(
            type="ChannelMapper",
            in_channels=[8, 16, 32],
            kernel_size=1,
            out_channels=DIMS,
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=4),
            num_outs=LEVELS,
        ),
        positional_encoding=dict(num_feats=DIMS // 2, normalize=True, offset=-0.5),
        encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=dict(attention), ffn_cfg=dict(ffn))),
        decoder=dict(num_layers=3, layer_cfg=decoder_layer, position_relation=dict()),
        bbox_head=dict(type="RelationDETRHead", num_classes=CLASSES, embed_dims=DIMS, **plain_loss),
        test_cfg=dict(max_per_img=10),
    )
    if kind == "RelationDETR":
        settings["hybrid_num_queries"] = 20
    for name, value in changes.items():
        part, _, key = name.rpartition("__")
        (settings[part] if part else settings)[key] = value
    model = MODELS.build(settings)
    model.init_weights()
    return model


def awake(model):
    """Give layers that start at zero, and so pass no gradient on, other weights; return the model in training mode."""
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if not parameter.any() or "sampling_offsets" in name:
            nn.init.normal_(parameter, std=0.1)
    return model.train()


def batch(targets=(2, 1), side=SIDE):
    torch.manual_seed(1)
    samples = []
    for count, narrower in zip(targets, (0, 16), strict=False):
        shape = (side, side - narrower)
        sample = DetDataSample(
            metainfo={"img_shape": shape, "batch_input_shape": (side, side), "scale_factor": (1.0, 1.0)}
        )
        sample.gt_instances = InstanceData(bboxes=BOXES[:count] * side / SIDE, labels=torch.tensor([1, 3])[:count])
        samples.append(sample)
    return torch.randn(len(samples), 3, side, side), samples


def total(losses):
    return sum(value for name, value in losses.items() if "loss" in name)


def backward(model, *inputs):
    torch.manual_seed(3)  # of the denoising
    losses = model.loss(*inputs)
    total(losses).backward()
    return losses


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    model = awake(build(kind))
    backward(model, *batch())
    without = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    # the released model does not use its relation
    assert len(without) == (2 if kind == "DeformableDETRPP" else 0)
    assert all("position_relation" in name for name in without)
    for name, parameter in model.named_parameters():
        assert name in without or parameter.grad.any(), name


@pytest.mark.parametrize("kind", KINDS)
def test_without_targets_every_parameter_still_gets_a_gradient(kind):
    model = awake(build(kind))
    losses = backward(model, *batch(targets=(0, 0)))
    assert all(value.isfinite().all() for value in losses.values())
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_tokens_than_queries_are_all_taken(kind):
    model = awake(build(kind, num_queries=200))
    images, samples = batch(side=64)  # 8*8 + 4*4 + 2*2 + 1 = 85 tokens
    backward(model, images, samples)
    with torch.no_grad():
        found = model.eval().predict(images, samples)
        states = model.forward_transformer(model.extract_feat(images), samples)["hidden_states"]
    assert len(found[0].pred_instances) == 10
    assert states.shape[2] == (85 if model.two_stage else 200)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_computed_again_change_nothing(kind):
    plain = awake(build(kind))
    again = copy.deepcopy(plain)
    again.encoder.with_cp = again.decoder.with_cp = True
    losses = [backward(model, *batch()) for model in (plain, again)]
    assert losses[0].keys() == losses[1].keys()
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name])
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_stays_close(kind):
    model = awake(build(kind))
    inputs = batch()
    torch.manual_seed(3)
    exact = total(model.loss(*inputs))
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = total(model.loss(*inputs))
    rough.backward()
    assert rough.item() == pytest.approx(exact.item(), rel=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_s_prediction_does_not_depend_on_its_neighbour(kind):
    model = awake(build(kind)).eval()
    images, samples = batch()
    with torch.no_grad():
        together = model.predict(images, samples)[1].pred_instances
        alone = model.predict(images[1:], samples[1:])[0].pred_instances
    torch.testing.assert_close(together.scores, alone.scores)
    torch.testing.assert_close(together.bboxes, alone.bboxes)


def test_predicting_needs_nothing_of_the_hybrid_branch():
    whole = awake(build()).eval()
    lean = build(hybrid_num_queries=0).eval()
    missing = lean.load_state_dict(whole.state_dict(), strict=False)
    assert not missing.missing_keys
    assert {key.split(".")[0] for key in missing.unexpected_keys} == {"hybrid_query_embedding", "bbox_head"}
    assert all("hybrid" in key for key in missing.unexpected_keys)
    images, samples = batch()
    with torch.no_grad():
        found = [model.predict(images, samples)[0].pred_instances.bboxes.clone() for model in (whole, lean)]
    assert torch.equal(*found)


def test_both_passes_sample_values_that_are_projected_once():
    model, calls = awake(build()), []
    for layer in model.decoder.layers:
        layer.cross_attn.value_proj.register_forward_hook(lambda *_: calls.append(1))
    model.forward_transformer(model.extract_feat(batch()[0]), batch()[1])
    assert len(calls) == 3


def test_the_hybrid_pass_has_neither_relation_nor_denoising():
    model = awake(build())
    calls = []
    model.decoder.position_relation_embedding.register_forward_hook(
        lambda _module, _inputs, output: calls.append(output.shape)
    )
    inputs = model.forward_transformer(model.extract_feat(batch()[0]), batch()[1])
    noisy = inputs["dn_meta"]["num_denoising_queries"]
    assert noisy > 0
    assert calls == [(2, 4, QUERIES + noisy, QUERIES + noisy)] * 2
    assert inputs["hidden_states"].shape == (3, 2, QUERIES + noisy, DIMS)
    assert inputs["hybrid"]["hidden_states"].shape == (3, 2, 20, DIMS)
    assert inputs["hybrid"]["enc_outputs_coord"].shape == (2, 20, 4)
    assert inputs["enc_outputs_class"].shape == (2, QUERIES, CLASSES)


def test_predicting_runs_the_last_class_branch_alone():
    model, calls = build().eval(), []
    for number, branch in enumerate(model.bbox_head.cls_branches[:3]):
        branch.register_forward_hook(lambda *_, number=number: calls.append(number))
    with torch.no_grad():
        model.predict(*batch())
    assert calls == [2]


def test_the_relation_of_deformable_detr_is_a_switch():
    released, used = build("DeformableDETRPP"), build("DeformableDETRPP", use_relation=True)
    awake(released)
    used.load_state_dict(released.state_dict())
    images, samples = batch()
    calls, states = [], []
    with torch.no_grad():
        for model in (released.eval(), used.eval()):
            model.decoder.position_relation_embedding.register_forward_hook(lambda *_: calls.append(1))
            states.append(model.forward_transformer(model.extract_feat(images), samples)["hidden_states"])
    assert len(calls) == 2
    assert torch.equal(states[0][0], states[1][0])
    assert not torch.allclose(states[0][1], states[1][1])


def test_contents_of_dn_tell_matching_queries_from_denoising_ones():
    model = build("DNDeformableDETRPP").train()
    queries, _ = model.pre_decoder(torch.randn(2, 7, DIMS), None, torch.tensor([[1, 7]]))
    assert not queries.content[..., -1].any()
    noisy, _, _ = model._with_denoising(queries, batch(targets=(2, 2))[1])
    assert torch.equal(noisy.content[..., -1] == 1, torch.arange(10 + QUERIES).expand(2, -1) < 10)


def is_xavier(weight):
    """Return whether the largest value is at the limit of the distribution; that of PyTorch's defaults is another."""
    area = math.prod(weight.shape[2:])
    bound = math.sqrt(6 / ((weight.shape[0] + weight.shape[1]) * area))
    return 0.9 * bound < weight.abs().max() <= bound


def test_initial_weights_are_those_of_the_official_code():
    model = build()
    layer = model.decoder.layers[0]
    for linear in (*model.decoder.ref_point_head.layers, *model.decoder.query_scale.layers):
        assert not linear.bias.any()
        assert is_xavier(linear.weight)
    for encoder_layer in model.encoder.layers:
        attention, ffn = encoder_layer.self_attn, encoder_layer.ffn
        parts = attention.value_proj, attention.output_proj, ffn.layers[0][0], ffn.layers[1]
        assert all(is_xavier(part.weight) for part in parts)
    for decoder_layer in model.decoder.layers:
        own, cross, ffn = decoder_layer.self_attn.attn, decoder_layer.cross_attn, decoder_layer.ffn
        parts = own.out_proj, cross.value_proj, cross.output_proj, ffn.layers[0][0], ffn.layers[1]
        assert all(is_xavier(weight) for weight in (own.in_proj_weight, *(part.weight for part in parts)))
    assert is_xavier(model.memory_trans_fc.weight)
    for attention in (model.encoder.layers[0].self_attn, layer.cross_attn):
        assert not attention.sampling_offsets.weight.any()
        assert not attention.attention_weights.weight.any()
        directions = attention.sampling_offsets.bias.view(4, LEVELS, 4, 2)
        torch.testing.assert_close(directions[:, :, 3].abs().amax(-1), torch.full((4, LEVELS), 4.0))
    # PyTorch's defaults: uniform up to the root of 1 / inputs, the xavier limit would be larger
    assert model.encoder.memory_fusion[0].weight.abs().max() <= 1 / math.sqrt(3 * DIMS)
    assert model.decoder.position_relation_embedding.pos_proj[0].weight.abs().max() <= 1 / 8
    for embedding in (model.query_embedding.weight, model.hybrid_query_embedding.weight, model.level_embed):
        assert embedding.std().item() == pytest.approx(1, abs=0.2)
    assert not torch.equal(layer.ffn.layers[1].weight, model.decoder.layers[1].ffn.layers[1].weight)
    assert all(is_xavier(conv.conv.weight) for conv in (*model.neck.convs, *model.neck.extra_convs))


def test_a_raw_prediction_is_that_of_the_last_layer():
    raw = RawPrediction(awake(build())).eval()
    images, samples = batch(side=64)
    samples[1].set_metainfo({"img_shape": (64, 64)})  # without padding
    with torch.no_grad():
        logits, boxes = raw(images)
        found = raw.model.predict(images, samples, rescale=False)
    assert (logits.shape, boxes.shape) == ((2, QUERIES, CLASSES), (2, QUERIES, 4))
    for image, one in enumerate(found):
        scores, places = logits[image].sigmoid().flatten().topk(10)
        torch.testing.assert_close(one.pred_instances.scores, scores)
        corners = bbox_cxcywh_to_xyxy(boxes[image, places // CLASSES]) * 64
        torch.testing.assert_close(one.pred_instances.bboxes, corners)


@pytest.mark.parametrize("kind", ["RelationDETR", "DeformableDETRPP"])
@pytest.mark.filterwarnings("ignore")  # of the exporter about itself and about sizes that become constants
def test_a_raw_prediction_runs_in_onnxruntime(tmp_path, kind):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    raw = RawPrediction(awake(build(kind))).eval()  # the exporter gives the wrapper's mode back to all
    file = tmp_path / "detector.onnx"
    names = {"input_names": ["images"], "output_names": ["logits", "boxes"]}
    torch.manual_seed(4)
    torch.onnx.export(raw, (torch.randn(2, 3, SIDE, SIDE),), str(file), opset_version=16, dynamo=False, **names)
    assert not {node.domain for node in onnx.load(file).graph.node} - {"", "ai.onnx"}  # no operators of ours
    images = torch.randn(2, 3, SIDE, SIDE)  # others than those exported with
    with torch.no_grad():
        expected = raw(images)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images.numpy()})
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("maps", [3, 5])
def test_a_neck_with_another_number_of_maps_is_refused(maps):
    model = build(neck__num_outs=maps)
    with pytest.raises(ValueError, match=rf"neck gives {maps} maps, .*num_feature_levels=4: set the neck's num_outs"):
        model.loss(*batch())


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("RelationDETR", dict(bbox_head__hybrid_repeat=3), "bbox_head has hybrid_repeat, .* to the detector"),
        ("RelationDETR", dict(bbox_head__hybrid=False), "bbox_head has hybrid, .*give hybrid_num_queries"),
        ("DeformableDETRPP", dict(decoder__use_relation=True), "decoder has use_relation, .* to the detector"),
        ("DeformableDETRPP", dict(dn_cfg=dict(group_cfg={})), "DeformableDETRPP has no denoising: leave dn_cfg out"),
        ("DABDeformableDETRPP", dict(dn_cfg=dict(label_noise_scale=0.5)), "DABDeformableDETRPP has no denoising"),
    ],
)
def test_a_setting_that_would_not_be_read_is_refused(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        build(kind, **changes)


def test_another_number_of_levels_is_refused():
    with pytest.raises(ValueError, match=r"encoder's deformable attention has num_levels=4, .*num_feature_levels=5"):
        build(num_feature_levels=5, neck__num_outs=5)
