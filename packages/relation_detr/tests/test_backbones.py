"""The backbones: the official maps, what is frozen, what leaves the numbers alone, and what bad settings say."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

import mm_relation_detr  # noqa: F401  serves mmcv's operators to mmdet
from mm_relation_detr.backbone_keys import convnext_rules, focalnet_rules, resnet_rules, swin_rules
from mm_relation_detr.models.focalnet import FocalNet
from mm_relation_detr.models.raw_convnext import RelationConvNeXt
from mm_relation_detr.models.raw_swin import RelationSwin
from mmrepro.checkpoint import KeyRules, Rename
from mmrepro.ops.windows import ShiftMasks
from mmrepro.testing import load_case
from mmrepro.testing.cases import Case, compare, cut, draw_weight

LARGE = pytest.mark.slow
CASES = Path(__file__).parent / "parity"
RESNET = dict(
    type="mmdet.ResNet", depth=50, out_indices=(1, 2, 3), frozen_stages=1, norm_cfg=dict(type="BN", requires_grad=False)
)
SWIN_L = dict(
    type="mmdet.RelationSwin", embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), out_indices=(1, 2, 3),
    drop_path_rate=0.2, frozen_stages=1,
)  # fmt: skip
CONVNEXT_L = dict(type="mmdet.RelationConvNeXt", arch="large", drop_path_rate=0.5, frozen_stages=1)
OFFICIAL = {
    "r50_forward": (RESNET, resnet_rules("backbone.", "")),
    "swin_l_forward": (SWIN_L, swin_rules("backbone.0.", "")),
    "focal_l_forward": (
        dict(type="mmdet.FocalNet"),
        [*focalnet_rules("backbone.0.", ""), *(Rename(f"backbone.1.norm{i}.*", f"norm{i}.*") for i in range(4))],
    ),
    "convnext_l_forward": (CONVNEXT_L, convnext_rules("backbone.", "")),
}
SMALL = {
    "swin": dict(
        type="mmdet.RelationSwin", embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 2), out_indices=(1, 2, 3)
    ),
    "focalnet": dict(type="mmdet.FocalNet", embed_dim=8, depths=(1, 1, 2, 1)),
    "convnext": dict(type="mmdet.RelationConvNeXt", arch=dict(depths=[1, 1, 2, 1], channels=[8, 16, 32, 64])),
}


def small(name: str, **changes) -> torch.nn.Module:
    torch.manual_seed(3)
    backbone = MODELS.build(SMALL[name] | changes)
    backbone.eval()
    for parameter in backbone.parameters():  # layer scales and norms too
        torch.nn.init.normal_(parameter, std=0.2)
    return backbone


def picture(height: int = 96, width: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(4))


def backbone_weights(case: Case) -> dict[str, torch.Tensor]:
    """Return the case's weights of the backbone alone: each is drawn from its own name."""
    shapes = {key: shape for key, shape in case.manifest["state_dict"].items() if key.startswith("backbone.")}
    drawn = {key: draw_weight(key, shape, case.seed) for key, shape in shapes.items()}
    drawn |= {key: case.arrays[f"weight:{key}"] for key in shapes if f"weight:{key}" in case.arrays}
    return {key: torch.from_numpy(value) for key, value in drawn.items()}


def padded(case: Case) -> torch.Tensor:
    images = [torch.from_numpy(image) for _, image in sorted(case.inputs.items())]
    height, width = (-max(image.shape[axis] for image in images) // 32 * -32 for axis in (1, 2))
    batch = torch.zeros(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch


# The three large ones draw and run 200 million weights each.
@pytest.mark.parametrize(
    "name", [name if name == "r50_forward" else pytest.param(name, marks=LARGE) for name in OFFICIAL]
)
def test_the_maps_are_those_of_the_official_backbone(name):
    case = load_case(CASES / name)
    settings, rules = OFFICIAL[name]
    with torch.device("meta"):
        backbone = MODELS.build(settings)
    backbone.load_state_dict(KeyRules(rules).forward(backbone_weights(case)), assign=True)
    backbone.eval()
    with torch.inference_mode():
        maps = backbone(padded(case))
    expected = {key: array for key, array in case.expected.items() if key.startswith("backbone_")}
    assert len(maps) == len(expected) >= 3
    for index, actual in enumerate(maps):
        key = f"backbone_{index}"
        compare(cut(actual.numpy(), case.manifest["expected_slice"][key]), expected[key], case.tolerance_of(key))


def test_weights_of_the_stock_swin_give_the_same_maps_where_every_axis_has_more_than_one_window():
    ours = small("swin")
    stock = MODELS.build(SMALL["swin"] | dict(type="mmdet.SwinTransformer"))
    stock.load_state_dict(ours.state_dict(), strict=False)
    stock.eval()
    for index in (1, 2, 3):  # without the norms, which the official detector does not have
        setattr(stock, f"norm{index}", torch.nn.Identity())
    with torch.inference_mode():
        large, narrow = picture(256, 288), picture(256, 224)
        for one, other in zip(ours(large), stock(large), strict=True):
            torch.testing.assert_close(one, other)
        *_, one = ours(narrow)
        *_, other = stock(narrow)
    assert (one - other).abs().max() > 1e-3 * other.abs().max()  # 7 columns in the last stage: one window


def test_an_axis_of_one_window_is_shifted_by_nobody():
    """A map of one window in both axes is attended as a whole, so tokens can be moved about if the bias is flat."""
    attention = small("swin").stages[0].blocks[1].attn
    torch.nn.init.zeros_(attention.w_msa.relative_position_bias_table)
    tokens = torch.randn(1, 49, 8)
    order = torch.randperm(49)
    with torch.inference_mode():
        torch.testing.assert_close(attention(tokens, (7, 7))[:, order], attention(tokens[:, order], (7, 7)))


def test_a_mask_is_built_once_per_stage_and_size(monkeypatch):
    built = []
    build = ShiftMasks._build
    monkeypatch.setattr(ShiftMasks, "_build", lambda *args: built.append(args[1]) or build(*args))
    backbone = small("swin", depths=(2, 2, 4, 2))
    with torch.inference_mode():
        backbone(picture(256, 256))
        backbone(picture(256, 256))
    assert built == [(70, 70), (35, 35), (21, 21), (14, 14)]


def test_a_mask_from_inference_serves_training():
    backbone = small("swin")
    with torch.inference_mode():
        backbone(picture(256, 256))
    backbone.train()
    sum(out.sum() for out in backbone(picture(256, 256))).backward()


def test_exporting_leaves_no_mask_of_the_tracer_behind():
    backbone = small("swin", depths=(2,), num_heads=(1,), strides=(4,), out_indices=(0,))
    image = picture(48, 64)
    with torch.no_grad():
        expected = backbone(image)
        exported = torch.export.export(backbone, (image,), strict=False).module()
        for again in (backbone(image), exported(image)):
            torch.testing.assert_close(again, expected)


@pytest.mark.parametrize("name", SMALL)
def test_bf16_stays_close(name):
    backbone = small(name)
    with torch.inference_mode():
        expected = backbone(picture())
        with torch.autocast("cpu", torch.bfloat16):
            actual = backbone(picture())
    for one, other in zip(actual, expected, strict=True):
        assert (one - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize(
    ("name", "settings", "frozen"),
    [
        ("swin", dict(frozen_stages=1), ("patch_embed.", "stages.0.")),
        ("swin", dict(frozen_stages=0), ("patch_embed.",)),
        ("convnext", dict(frozen_stages=1), ("downsample_layers.0.", "stages.0.", "downsample_layers.1.")),
        ("focalnet", dict(frozen_stages=1), ("patch_embed.", "layers.0.", "norm0.")),
        ("focalnet", dict(frozen_stages=0), ("patch_embed.",)),
        ("focalnet", {}, ()),
    ],
)
def test_frozen_stages_get_no_gradient_and_still_drop_paths(name, settings, frozen):
    backbone = small(name, drop_path_rate=0.5, **settings)
    before = {key for key, parameter in backbone.named_parameters() if not parameter.requires_grad}
    backbone.train()
    after = {key for key, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert before == after == {key for key, _ in backbone.named_parameters() if key.startswith(frozen)}
    assert all(module.training for module in backbone.modules())
    sum(out.square().sum() for out in backbone(picture())).backward()
    assert {key for key, parameter in backbone.named_parameters() if parameter.grad is None} == after


@pytest.mark.parametrize("name", SMALL)
def test_recomputing_blocks_changes_nothing(name):
    results, calls = [], ([], [])
    for with_cp in (False, True):
        backbone = small(name, with_cp=with_cp, drop_path_rate=0.5)  # drawn once more as they were
        for stage in backbone.layers if name == "focalnet" else backbone.stages:
            first = (stage if name == "convnext" else stage.blocks)[0]
            # a part of it: mmcv's and mmpretrain's blocks recompute within themselves
            next(first.children()).register_forward_hook(lambda *_, seen=calls[with_cp]: seen.append(1))
        backbone.train()
        image = picture().requires_grad_()
        torch.manual_seed(5)
        outputs = backbone(image)
        sum(out.square().sum() for out in outputs).backward()
        results.append([*outputs, image.grad, *(parameter.grad for parameter in backbone.parameters())])
    assert [len(seen) for seen in calls] == [4, 8]
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.parametrize("name", SMALL)
def test_maps_have_the_strides_that_the_neck_expects(name):
    with torch.inference_mode():
        maps = small(name)(picture(96, 64))
    strides = (4, 8, 16, 32)[-len(maps) :]
    assert [tuple(out.shape) for out in maps] == [(2, 2 * s, 96 // s, 64 // s) for s in strides]


def test_focalnet_pads_a_map_of_odd_size():
    with torch.inference_mode():
        maps = small("focalnet")(picture(37, 50))
    assert [tuple(out.shape[2:]) for out in maps] == [(10, 13), (5, 7), (3, 4), (2, 2)]


def test_a_picture_in_a_batch_is_as_it_is_alone():
    backbone, batch = small("focalnet"), picture()
    with torch.inference_mode():
        for together, alone in zip(backbone(batch), backbone(batch[1:]), strict=True):
            torch.testing.assert_close(together[1:], alone)


def test_focalnet_names_settings_that_do_not_agree():
    with pytest.raises(ValueError, match=r"focal_levels=\(4, 4, 4, 4\) .* need one entry per stage"):
        small("focalnet", depths=(1, 1))
    with pytest.raises(ValueError, match=r"out_indices=\(0, 4\): stages are 0 to 3"):
        small("focalnet", out_indices=(0, 4))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (RelationSwin, SWIN_L),
        (RelationConvNeXt, CONVNEXT_L),
        (FocalNet, dict(type="mmdet.FocalNet", drop_path_rate=0.5)),
    ],
)
def test_large_backbones_are_built_without_memory_for_complexity_and_conversion(kind, settings):
    with torch.device("meta"):
        backbone = MODELS.build(settings)
    assert isinstance(backbone, kind)
    assert all(parameter.is_meta for parameter in backbone.parameters())
    rates = [
        module.drop_prob for module in backbone.modules() if hasattr(module, "drop_prob") and not hasattr(module, "p")
    ]
    assert max(rates) == pytest.approx(settings["drop_path_rate"])
