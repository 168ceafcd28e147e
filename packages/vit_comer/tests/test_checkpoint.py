"""Official checkpoints: every key of every list both ways, the networks of their sizes, variants by name."""

import importlib
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mm_vit_comer.checkpoint import (
    from_official,
    infer_config,
    is_official,
    require_same_model,
    settings_of,
    target,
    to_official,
)
from mm_vit_comer.checkpoint_sizes import variant_of
from mm_vit_comer.models.vit_comer import ViTCoMer
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.ops.windows import relative_position_index
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, load_keys, tiny

KEYS = Path(__file__).parent / "parity"
CONFIGS = Path(__file__).parents[1] / "configs/vit_comer"
LISTS = sorted(path.stem.removeprefix("keys_") for path in KEYS.glob("keys_*.json"))
OTHER_NAMES = ("codetr_beit_large_backbone", "mask2former_head_l")
NAMES = {
    "codetr_beit_large_backbone": "ViT-CoMer-L on BEiT for Co-DETR",
    "codetr_sfp_neck": "heads without a backbone",
    "det_base": "ViT-CoMer-B for detection (Mask R-CNN, 80 classes)",
    "det_small": "ViT-CoMer-S for detection (Mask R-CNN, 80 classes)",
    "det_vit_base": "plain ViT-B (Mask R-CNN, 80 classes)",
    "det_vit_small": "plain ViT-S (Mask R-CNN, 80 classes)",
    "mask2former_head_l": "heads without a backbone (Mask2Former, 171 classes)",
    "seg_base": "ViT-CoMer-B for segmentation (UPerNet, 150 classes)",
    "seg_small": "ViT-CoMer-S for segmentation (UPerNet, 150 classes)",
    "seg_tiny": "ViT-CoMer-T for segmentation (UPerNet, 150 classes)",
}


def meta_state(name: str) -> dict[str, torch.Tensor]:
    (listed,) = load_keys(KEYS / f"keys_{name}.json").values()
    return {key: torch.empty(shape, device="meta") for key, shape in listed["state_dict"].items()}


def shapes(state: dict) -> dict:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


class Network(nn.Module):
    """A network that is a backbone, as small as they come."""

    def __init__(self, **settings):
        super().__init__()
        arch = dict(embed_dim=16, depth=4, num_heads=2)
        self.backbone = ViTCoMer(arch, **dict(conv_inplane=4, deform_num_heads=2, pretrain_size=64) | settings)


def beit(**settings) -> Network:
    return Network(variant="co-detr", window_size=[3, 3, 3, 4], pretrain_size=None, **settings)


def test_the_key_lists_are_all_there():
    assert sorted(NAMES) == LISTS


@pytest.mark.parametrize("name", LISTS)
def test_every_official_key_is_converted_both_ways(name):
    official = meta_state(name)
    assert is_official(official) == (name in OTHER_NAMES)
    ours = from_official(official)
    assert not is_official(ours)
    assert (shapes(ours) == shapes(official)) == (name not in OTHER_NAMES)
    assert shapes(to_official(ours)) == shapes(official)


@pytest.mark.parametrize("name", LISTS)
def test_every_file_fills_the_network_of_its_sizes(name):
    official = meta_state(name)
    network = target(official)
    assert all(weight.is_meta for weight in network.state_dict().values())
    ours = from_official(official, network)
    assert shapes(target(ours).state_dict()) == shapes(network.state_dict())


@pytest.mark.parametrize("name", LISTS)
def test_every_file_is_called_what_it_is(name):
    assert variant_of(infer_config(meta_state(name))["model"]) == NAMES[name]


@pytest.mark.parametrize(
    ("name", "backbone", "rest"),
    [
        ("det_small", dict(arch="small", variant="det", mrfp_ratio=0.5, pretrain_size=592, deform_num_heads=6), {}),
        ("seg_tiny", dict(arch="tiny", variant="seg", mrfp_ratio=6.0, pretrain_size=224, deform_ratio=1.0), {}),
        ("seg_base", dict(arch="base", mrfp_ratio=1.0, deform_num_heads=12, deform_ratio=0.5, extra_num=4), {}),
        (
            "codetr_beit_large_backbone",
            dict(trunk="beit", variant="co-detr", window_size=[*[14] * 5, 56] * 4),
            {},
        ),
        ("det_vit_small", dict(type="ViTBaseline", embed_dim=384, depth=12, num_heads=6, pretrain_size=224), {}),
        ("codetr_sfp_neck", None, {"neck": dict(type="SFPWithLateral", in_channels=1024, out_channels=256)}),
        ("mask2former_head_l", None, {"decode_head": dict(num_queries=200, feat_channels=1024, num_classes=171)}),
    ],
)
def test_settings_are_those_of_the_published_configs(name, backbone, rest):
    found = infer_config(meta_state(name))["model"]
    wanted = rest | ({} if backbone is None else {"backbone": backbone})
    for part, settings in wanted.items():
        assert {key: found[part][key] for key in settings} == settings


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_weights_of_every_config_can_be_published(path):
    """What `mmrepro convert` asks: the file fills the network of its sizes, and every key has an official name."""
    config = tiny(load_config(path))
    with torch.device("meta"), DefaultScope.overwrite_default_scope(config.default_scope):
        state = MODELS.build(config.model).state_dict()
    assert shapes(target(state).state_dict()) == shapes(state)
    assert len(to_official(state)) >= len(state)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cascade-mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco", "Cascade Mask R-CNN, 80 classes"),
        ("atss_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco", "ATSS, 80 classes"),
        ("gfl_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco", "GFL, 80 classes"),
    ],
)
def test_other_detectors_are_called_what_they_are(name, said):
    config = load_config(CONFIGS / f"{name}.py")
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(config.model)
    state = model.state_dict()
    assert variant_of(infer_config(state)["model"]) == f"ViT-CoMer-S for detection ({said})"
    part = "bbox_head" if "Cascade" not in said else "roi_head.bbox_head.0"
    half = {key: value[: len(value) // 2] for key, value in state.items() if "_cls." in key and key.startswith(part)}
    with pytest.raises(CheckpointMismatchError, match=rf"{part}\.num_classes: (39|40) in the file, 80 in the config"):
        require_same_model(model, dict(state) | half)


def test_values_survive_the_way_there_and_back():
    ours = {key: torch.randn_like(value.float()) for key, value in beit().state_dict().items()}
    official = to_official(ours)
    assert torch.equal(official["backbone.blocks.3.attn.relative_position_index"], relative_position_index(4))
    assert "backbone.interactions.0.multiconv.fc1.weight" in official
    back = from_official({"state_dict": official})
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)


def test_queries_look_at_the_map_first():
    names = {"attentions.0.attn": "cross_attn.attn", "attentions.1.attn": "self_attn.attn", "norms.2": "norms.2"}
    layer = "decode_head.transformer_decoder.layers.3"
    official = {f"{layer}.{theirs}.bias": torch.full((1,), float(i)) for i, theirs in enumerate(names)}
    ours = from_official(official)
    assert [ours[f"{layer}.{name}.bias"].item() for name in names.values()] == [0.0, 1.0, 2.0]


def test_rows_of_a_class_token_are_left_out():
    key = "backbone.blocks.0.attn.relative_position_bias_table"
    table = torch.randn(9 + 3, 2)
    assert torch.equal(from_official({key: table})[key], table[:9])
    assert torch.equal(from_official({key: table[:9]})[key], table[:9])
    with pytest.raises(CheckpointMismatchError, match="10 rows are those of no square window"):
        from_official({key: torch.zeros(10, 2)})


def test_an_index_in_another_order_is_refused():
    official = to_official(beit().state_dict())
    key = "backbone.blocks.0.attn.relative_position_index"
    official[key] = official[key].T
    with pytest.raises(CheckpointMismatchError, match=f"not the official ones(.|\n)*{key}"):
        from_official(official)


def test_a_segmentor_on_beit_keeps_the_names_of_the_main_branch():
    state = dict(beit().state_dict()) | {"decode_head.conv_seg.bias": torch.zeros(3)}
    assert any(".cti_tov." in key for key in to_official(state))
    assert infer_config(state)["model"]["backbone"]["variant"] == "seg"


def test_a_segmentor_on_beit_without_windows_is_known_by_its_tables():
    network = Network(variant="seg", trunk="beit", img_size=48)
    state = dict(network.state_dict()) | {"decode_head.conv_seg.bias": torch.zeros(3)}
    found = infer_config(state)["model"]["backbone"]
    assert (found["window_attn"], found["img_size"]) == (False, 48)
    assert "window_size" not in found
    built = target(state)["backbone"].state_dict()
    assert shapes(built) == shapes(network.backbone.state_dict())
    assert settings_of(network)["backbone"]["windows"] == [None] * 4
    with pytest.raises(CheckpointMismatchError, match=r"backbone\.img_size: 48 in the file, 64 in the config"):
        from_official(
            state,
            shapes(
                dict(Network(variant="seg", trunk="beit", img_size=64).state_dict())
                | {"decode_head.conv_seg.bias": torch.zeros(3)}
            ),
        )


def test_keys_that_do_not_fit_are_named():
    state = dict(Network().state_dict())
    fitting = shapes(state)
    surplus = state | {"teacher.weight": torch.zeros(1)}
    with pytest.raises(CheckpointMismatchError, match=r"file\.pth does not fit(.|\n)*no rule takes(.|\n)*teacher"):
        from_official(surplus, fitting, "file.pth")
    del state["backbone.up.bias"]
    with pytest.raises(CheckpointMismatchError, match=r"not in the file \(1\)(.|\n)*backbone\.up\.bias"):
        from_official(state, fitting)


def test_a_target_of_another_variant_is_named_with_the_files():
    with pytest.raises(CheckpointMismatchError) as refused:
        from_official(meta_state("seg_tiny"), shapes(meta_state("det_small")), "comer.pth")
    text = str(refused.value)
    assert "comer.pth does not fit" in text
    assert (
        "the file is ViT-CoMer-T for segmentation (UPerNet, 150 classes), the config ViT-CoMer-S for detection" in text
    )
    assert "backbone.mrfp_ratio: 6.0 in the file, 0.5 in the config" in text


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (dict(mrfp_ratio=1.0), "backbone.mrfp_ratio: 0.5 in the file, 1.0 in the config"),
        (dict(deform_ratio=0.5), "backbone.deform_ratio: 1.0 in the file, 0.5 in the config"),
        (dict(cffn_ratio=0.5), "backbone.cffn_ratio"),
        (dict(conv_inplane=8), "backbone.conv_inplane"),
        (dict(extra_num=2), "backbone.extra_num: 4 in the file, 2 in the config"),
        (dict(cnn_feature_interaction=False), "backbone.cnn_feature_interaction"),
        (dict(pretrain_size=32), "backbone.pretrain_size: 64 in the file, 32 in the config"),
        (dict(add_vit_feature="stages"), "backbone.add_vit_feature: 'last' in the file, 'stages' in the config"),
        (dict(window_attn=True), "give the model the file's backbone.window_attn and backbone.window_size"),
    ],
)
def test_another_variant_is_refused_with_each_setting(settings, line):
    network = Network()
    checkpoint = {"state_dict": network.state_dict(), "meta": {"model": settings_of(network)}}
    require_same_model(network, checkpoint)
    with pytest.raises(CheckpointMismatchError) as refused:
        require_same_model(Network(**settings), checkpoint)
    assert line in str(refused.value)
    (name,) = {text.split(":")[0] for text in refused.value.problems[next(iter(refused.value.problems))]}
    require_same_model(Network(**settings), checkpoint, ignore=[name])
    require_same_model(Network(**settings), checkpoint, ignore=["backbone"])


def test_a_plain_trunk_does_not_take_beits_file():
    official = to_official(beit().state_dict())
    require_same_model(beit(), official)
    with pytest.raises(CheckpointMismatchError, match="the file is ViT-CoMer of width 16 with 4 blocks on BEiT"):
        require_same_model(Network(), official)


def of_config(name: str) -> nn.Module:
    """Return a published network on the meta device."""
    config = load_config(CONFIGS / f"{name}.py")
    importlib.import_module("mm_vit_comer.models.co_detr")
    with torch.device("meta"), DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(config.model)


MASK_RCNN_S = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco"
SAID = {
    MASK_RCNN_S: "ViT-CoMer-S for detection (Mask R-CNN, 80 classes)",
    "co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco": "ViT-CoMer-L on BEiT for detection (Co-DETR, 80 classes)",
    "vit-comer-s_deit_upernet_8xb2-amp-160k_ade20k-512x512": "ViT-CoMer-S for segmentation (UPerNet, 150 classes)",
    "vit-comer-l_beitv2_mask2former_8xb2-80k_ade20k-896x896": (
        "ViT-CoMer-L on BEiT for segmentation (Mask2Former, 150 classes)"
    ),
    "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco": "plain ViT-S (Mask R-CNN, 80 classes)",
}


@pytest.mark.parametrize(
    ("file", "config", "lines"),
    [
        (
            "co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco",
            MASK_RCNN_S,
            ("heads: 'Co-DETR' in the file, 'Mask R-CNN' in the config. Fix: a config of the file's kind",),
        ),
        (
            MASK_RCNN_S,
            "co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco",
            ("backbone.trunk: 'vit' in the file, 'beit' in the config. Fix: give the model the file's backbone.trunk",),
        ),
        (
            "vit-comer-s_deit_upernet_8xb2-amp-160k_ade20k-512x512",
            MASK_RCNN_S,
            ("heads: 'UPerNet' in the file, 'Mask R-CNN' in the config", "backbone.mrfp_ratio: 1.5 in the file, 0.5"),
        ),
        (
            "vit-comer-l_beitv2_mask2former_8xb2-80k_ade20k-896x896",
            "co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco",
            ("heads: 'Mask2Former' in the file, 'Co-DETR' in the config",),
        ),
        (
            "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco",
            MASK_RCNN_S,
            ("backbone.type: 'ViTBaseline' in the file, 'ViTCoMer' in the config. Fix: give the model the file's",),
        ),
    ],
)
def test_every_variant_is_named_where_it_does_not_belong(file, config, lines):
    theirs = of_config(file)
    require_same_model(theirs, theirs.state_dict())
    with pytest.raises(CheckpointMismatchError) as refused:
        require_same_model(of_config(config), theirs.state_dict())
    text = str(refused.value)
    assert f"the file is {SAID[file]}, the config {SAID[config]}" in text
    for line in lines:
        assert line in text


def test_heads_of_another_kind_are_named_where_the_backbones_are_alike():
    trunk = dict(Network().state_dict())
    detector = trunk | {"roi_head.bbox_head.fc_cls.weight": torch.zeros(4, 1)}
    segmentor = Network()
    segmentor.decode_head = nn.Module()
    segmentor.decode_head.conv_seg = nn.Conv2d(1, 3, 1)
    require_same_model(segmentor, trunk)  # a lone backbone has no heads to compare
    with pytest.raises(CheckpointMismatchError, match="heads: 'Faster R-CNN' in the file, 'UPerNet' in the config"):
        require_same_model(segmentor, detector)
    require_same_model(segmentor, detector, ignore=["heads"])


def test_co_detrs_classes_are_compared():
    model = of_config("co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco")
    state = dict(model.state_dict())
    for key in [key for key in state if key.startswith("bbox_head.cls_branches.")]:
        state[key] = state[key][:7]
    with pytest.raises(CheckpointMismatchError, match=r"bbox_head\.num_classes: 7 in the file, 80 in the config"):
        require_same_model(model, state)


@pytest.mark.parametrize(
    ("source", "extra", "wrap"),
    [
        ("dinov2", {"blocks.0.ls1.gamma": 384}, lambda state: state),
        ("deit", {"head.weight": 1000}, lambda state: {"model": state}),
        ("beit", {"blocks.0.attn.q_bias": 384}, lambda state: {"module": state}),
    ],
)
def test_a_public_vit_is_no_checkpoint_and_is_named(tmp_path, source, extra, wrap):
    shapes = {"cls_token": 384, "patch_embed.proj.weight": 384, "blocks.0.norm1.weight": 384} | extra
    torch.save(wrap({key: torch.zeros(size) for key, size in shapes.items()}), tmp_path / "public.pth")
    with pytest.raises(CheckpointMismatchError) as refused:
        require_same_model(Network(), load(tmp_path / "public.pth"))
    text = str(refused.value)
    assert f"it holds the weights of a public ViT alone ({source})" in text
    path = str(tmp_path / "public.pth")
    assert f"Fix: init_cfg=dict(type='PretrainedViT', checkpoint={path!r}, source='{source}') in the backbone" in text


def test_a_whole_detector_of_the_official_co_detr_is_named():
    official = meta_state("codetr_beit_large_backbone") | {"query_head.cls_branches.0.bias": torch.zeros(80)}
    with pytest.raises(CheckpointMismatchError, match=r"whole detector of the official Co-DETR(.|\n)*query_head\.cls"):
        require_same_model(of_config(MASK_RCNN_S), official)


def test_another_network_is_refused():
    with pytest.raises(CheckpointMismatchError, match=r"the first is conv1\.weight\. Fix"):
        require_same_model(Network(), {"conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"backbone.blocks.9999.norm1.weight": torch.zeros(())},
        {"backbone.blocks.0.attn.relative_position_bias_table": torch.zeros(7)},
        {"decode_head.pixel_decoder.mask_feature.weight": torch.zeros(2)},
        {"roi_head.bbox_head.fc_cls.weight": torch.zeros(1, 1)},
        {"roi_head.bbox_head.0.fc_cls.weight": torch.zeros(1), "neck.fpn_convs.7.conv.bias": torch.zeros(2)},
        {"bbox_head.atss_cls.weight": torch.zeros(())},
        {"bbox_head.gfl_cls.weight": torch.zeros(0), "bbox_head.gfl_reg.weight": torch.zeros(2)},
        {"bbox_head.cls_branches.0.weight": torch.zeros(3), "bbox_head.cls_branches.9999.weight": torch.zeros(0, 1)},
        {"neck.fc11.weight": torch.zeros(0), "neck.p2.1.weight": torch.zeros(1)},
    ],
)
def test_settings_are_read_from_anything(state):
    found = infer_config(state)["model"]
    assert set(found) == {key.split(".")[0] for key in state}
    target(state)
