"""Official checkpoints: every key of every published network both ways, class names and rows, misfits by name."""

import inspect
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

import mm_relation_detr  # noqa: F401  serves mmcv's operators to mmdet
from mm_relation_detr.backbone_keys import MergedPatches, relative_position_index
from mm_relation_detr.checkpoint import (
    class_names,
    from_official,
    infer_config,
    is_official,
    official_names,
    target,
    to_official,
)
from mm_relation_detr.models import focalnet, raw_convnext, raw_swin  # noqa: F401  register
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.detection.class_space import COCO_IDS
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
LISTS = sorted(path.stem.removeprefix("keys_") for path in KEYS.glob("keys_*.json"))
BUFFERS = ("num_batches_tracked", "relative_position_index")
CLASS_KEYS = ("cls_branches", "hybrid_cls_branch", "label_embedding")


def listed(name: str) -> dict:
    (found,) = load_keys(KEYS / f"keys_{name}.json").values()
    return found


def manifest(name: str) -> dict:
    return json.loads((KEYS / f"keys_{name}.json").read_text(encoding="utf-8"))


def meta_state(name: str) -> dict[str, torch.Tensor]:
    found = listed(name)
    integers = set(found["integer_buffers"])
    return {
        key: torch.empty(shape, dtype=torch.long if key in integers else torch.float32, device="meta")
        for key, shape in found["state_dict"].items()
    }


def small_state(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the parts of an official file that have class rows, with a row's id in it."""
    rows = torch.arange(91.0)
    state = {
        "transformer.decoder.class_head.0.weight": rows[:, None].repeat(1, 4),
        "transformer.decoder.class_head.0.bias": rows,
        "transformer.encoder_class_head.bias": rows,
        "transformer.hybrid_class_head.bias": rows,
        "transformer.hybrid_tgt_embed.weight": torch.zeros(5, 4),
        "transformer.level_embeds": torch.zeros(4, 4),
        "denoising_generator.label_encoder.weight": rows[:, None].repeat(1, 4),
    }
    return state | changes


def coded(*names: str) -> torch.Tensor:
    codes = [code for name in names for code in (*map(ord, name), -1)]
    return torch.tensor(codes[:-1])


def shapes(state: dict) -> dict:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def test_the_key_lists_are_all_there():
    backbones = ("convnext_l", "focal_l_1200", "focal_l_800", "r50", "swin_l")
    models = ("dab_def_detr_pp_r50", "def_detr_pp_r50", "dino_pp_r50", "dn_def_detr_pp_r50")
    assert [*models, *(f"relation_detr_{name}" for name in backbones)] == LISTS


@pytest.mark.parametrize("name", LISTS)
def test_every_official_key_is_converted_both_ways(name):
    official = meta_state(name)
    assert is_official(official)
    ours = from_official(official)
    assert not is_official(ours)
    back = to_official(ours)
    assert shapes(back) == shapes(official)
    assert {key for key, value in back.items() if value.dtype == torch.long} == set(listed(name)["integer_buffers"])


@pytest.mark.parametrize("name", LISTS)
def test_every_file_fills_the_model_of_its_sizes(name):
    official = meta_state(name)
    model = target(official)
    assert all(parameter.is_meta for parameter in model.parameters())
    from_official(official, model)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    # which the released model has and does not use: officially trainable without ever getting a gradient, here frozen
    relation = 520 if name == "def_detr_pp_r50" else 0
    assert trainable + relation == manifest(name)["trainable_parameters"]


@pytest.mark.parametrize("name", LISTS)
def test_backbone_and_neck_of_every_file_are_built_from_its_shapes(name):
    official, counts = meta_state(name), manifest(name)
    settings = infer_config(official)["model"]
    ours, modules = from_official(official), {}
    for part in ("backbone", "neck"):
        with torch.device("meta"):
            modules[part] = MODELS.build(settings[part] | dict(type=f"mmdet.{settings[part]['type']}"))
        expected = {key.removeprefix(f"{part}."): value for key, value in ours.items() if key.startswith(f"{part}.")}
        assert shapes(modules[part].state_dict()) == shapes(expected)
    frozen = sum(parameter.numel() for parameter in modules["backbone"].parameters() if not parameter.requires_grad)
    norms = sum(ours[key].numel() for key in ours if re.search(r"\.(bn\d|downsample\.1)\.(weight|bias)", key))
    norms *= settings["backbone"]["type"] == "ResNet"  # which are buffers officially
    assert frozen - norms == counts["parameters"] - counts["trainable_parameters"]


@pytest.mark.parametrize("name", LISTS)
def test_every_parameter_has_its_official_name(name):
    official = meta_state(name)
    parameters = [key for key in from_official(official) if not key.endswith(BUFFERS)]
    names = official_names(parameters)
    assert list(names) == parameters
    assert set(names.values()) == {key for key in official if not key.endswith(BUFFERS)}


def test_official_names_are_those_of_the_official_roles():
    keys = from_official(meta_state("relation_detr_r50"))
    names = official_names(key for key in keys if not key.endswith(BUFFERS))
    assert names["neck.extra_convs.0.gn.weight"] == "neck.convs.3.1.weight"
    assert names["decoder.layers.2.norms.0.weight"] == "transformer.decoder.layers.2.norm2.weight"
    assert names["decoder.layers.2.norms.1.weight"] == "transformer.decoder.layers.2.norm1.weight"
    assert names["bbox_head.cls_branches.5.bias"] == "transformer.decoder.class_head.5.bias"
    assert names["bbox_head.cls_branches.6.bias"] == "transformer.encoder_class_head.bias"
    assert names["bbox_head.reg_branches.6.4.bias"] == "transformer.encoder_bbox_head.layers.2.bias"
    with pytest.raises(CheckpointMismatchError, match=r"no rule takes .*\n.*bbox_head\.fc\.weight"):
        official_names([*names, "bbox_head.fc.weight"])


def test_our_names_are_those_of_the_stock_dino():
    attention = dict(embed_dims=256, num_heads=8, dropout=0.0)
    ffn = dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0)
    settings = infer_config(meta_state("relation_detr_r50"))["model"]
    with torch.device("meta"):
        stock = MODELS.build(
            dict(
                type="mmdet.DINO",
                as_two_stage=True,
                with_box_refine=True,
                num_queries=900,
                backbone=settings["backbone"],
                neck=settings["neck"],
                encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
                decoder=dict(
                    num_layers=6,
                    return_intermediate=True,
                    layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
                    post_norm_cfg=None,
                ),
                positional_encoding=settings["positional_encoding"],
                bbox_head=dict(type="DINOHead", num_classes=91, loss_cls=dict(type="FocalLoss", use_sigmoid=True)),
                dn_cfg=dict(group_cfg=dict(dynamic=True)),
            )
        )
    ours, theirs = shapes(from_official(meta_state("relation_detr_r50"))), shapes(stock.state_dict())
    assert theirs.keys() <= ours.keys()
    # mmdet embeds each of the four coordinates in 256 numbers, the official code in 128
    assert [key for key in theirs if theirs[key] != ours[key]] == ["decoder.ref_point_head.layers.0.weight"]
    added = {".".join(key.split(".")[:2]) for key in ours.keys() - theirs.keys()}
    assert added == {
        "encoder.memory_fusion",
        "decoder.query_scale",
        "decoder.position_relation_embedding",
        "bbox_head.hybrid_cls_branch",
        "bbox_head.hybrid_reg_branch",
        "hybrid_query_embedding.weight",
    }


def test_values_survive_the_way_there_and_back():
    official = {
        key: torch.randn(shape)
        for key, shape in listed("relation_detr_swin_l")["state_dict"].items()
        if key.startswith(("backbone.0.features.1.0.", "backbone.0.features.2."))
    }
    index = "backbone.0.features.1.0.attn.relative_position_index"
    table = official["backbone.0.features.1.0.attn.relative_position_bias_table"]
    official[index] = relative_position_index(table).flatten()
    back = to_official(from_official(official))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_merging_gives_what_the_official_order_gives():
    patches = torch.randn(2, 2, 3)  # (row, column, C)
    official = torch.cat([patches[0, 0], patches[1, 0], patches[0, 1], patches[1, 1]])
    unfolded = torch.nn.functional.unfold(patches.permute(2, 0, 1)[None], 2)[0, :, 0]  # mmdet's order
    weight = torch.randn(6, 12)
    (ours,) = MergedPatches("a", "b").forward([weight])
    torch.testing.assert_close(ours @ unfolded, weight @ official)


def test_the_index_of_a_window_is_the_stock_one():
    stock = MODELS.build(
        dict(type="mmdet.SwinTransformer", embed_dims=4, depths=(1,), num_heads=(1,), strides=(4,), out_indices=(0,))
    ).state_dict()
    prefix = "stages.0.blocks.0.attn.w_msa.relative_position"
    assert torch.equal(relative_position_index(stock[f"{prefix}_bias_table"]), stock[f"{prefix}_index"])


def test_counts_of_batches_that_a_file_has_are_dropped():
    official = {"backbone.bn1.running_mean": torch.zeros(2), "backbone.bn1.num_batches_tracked": torch.tensor(7)}
    ours = from_official(official)
    assert ours["backbone.bn1.num_batches_tracked"] == 0
    assert to_official(ours).keys() == {"backbone.bn1.running_mean"}


def test_wrapped_files_are_read():
    assert from_official({"model": small_state()}).keys() == from_official(small_state()).keys()


def test_class_names_become_the_meta():
    state = small_state(_classes_=coded("none", "person", "traffic light"))
    assert class_names(state) == ["none", "person", "traffic light"]
    assert infer_config(state)["dataset_meta"] == {"classes": ["none", "person", "traffic light"]}
    assert "dataset_meta" not in infer_config(small_state())
    assert not any("_classes_" in key for key in from_official(state))


def test_contiguous_classes_keep_the_rows_of_coco():
    ours = from_official(small_state(), contiguous=True)
    expected = torch.tensor(COCO_IDS, dtype=torch.float32)
    assert len(expected) == 80
    kept = {key: value for key, value in ours.items() if any(name in key for name in CLASS_KEYS)}
    assert len(kept) == 5
    assert all(torch.equal(value if value.dim() == 1 else value[:, 0], expected) for value in kept.values())
    assert ours["level_embed"].shape == (4, 4)
    assert infer_config(small_state(), contiguous=True)["model"]["bbox_head"]["num_classes"] == 80


def test_contiguous_classes_follow_the_names_where_a_file_has_them():
    rows = torch.arange(4.0)
    state = {"transformer.decoder.class_head.0.bias": rows, "_classes_": coded("none", "cat", "none", "dog")}
    assert from_official(state, contiguous=True) == {"bbox_head.cls_branches.0.bias": pytest.approx(rows[[1, 3]])}
    assert infer_config(state, contiguous=True)["dataset_meta"] == {"classes": ["cat", "dog"]}


def test_rows_that_nothing_explains_are_not_guessed():
    state = {"transformer.decoder.class_head.0.bias": torch.zeros(366)}
    with pytest.raises(ValueError, match=r"o365\.pth has 366 class rows and carries no class names"):
        from_official(state, source="o365.pth", contiguous=True)


@pytest.mark.parametrize("names", [("none", "cat"), ("none", "cat", "none", "dog", "owl")])
def test_names_that_are_not_as_many_as_the_rows_are_refused(names):
    state = {"transformer.decoder.class_head.0.bias": torch.zeros(4), "_classes_": coded(*names)}
    with pytest.raises(ValueError, match=rf"own\.pth has 4 class rows and names {len(names)} classes in _classes_"):
        from_official(state, source="own.pth", contiguous=True)


def test_the_hybrid_branch_is_left_out_when_asked():
    kept, left = from_official(small_state()), from_official(small_state(), hybrid=False)
    assert kept.keys() - left.keys() == {"bbox_head.hybrid_cls_branch.bias", "hybrid_query_embedding.weight"}
    assert infer_config(small_state(), hybrid=False)["model"].get("hybrid_num_queries", 0) == 0


def test_fewer_decoder_layers_have_the_encoders_head_after_them():
    keys = [f"transformer.decoder.layers.{i}.norm1.weight" for i in range(2)]
    keys += [f"transformer.decoder.class_head.{i}.bias" for i in range(2)]
    state = {key: torch.zeros(1) for key in [*keys, "transformer.encoder_class_head.bias"]}
    ours = from_official(state)
    assert "bbox_head.cls_branches.2.bias" in ours
    assert to_official(ours).keys() == state.keys()


def test_keys_that_do_not_fit_are_named():
    state = small_state(**{"transformer.surplus": torch.zeros(1)})
    fitting = shapes(from_official(small_state()))
    with pytest.raises(CheckpointMismatchError) as refused:
        from_official(state, fitting | {"level_embed": (5, 4), "memory_trans_fc.bias": (4,)}, "relation_detr.pth")
    text = str(refused.value)
    assert "relation_detr.pth does not fit" in text
    assert "no rule takes (1):\n    transformer.surplus" in text
    assert "memory_trans_fc.bias, made from transformer.enc_output.bias" in text
    assert "level_embed: (4, 4) in the file, (5, 4) in the model" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone.0.features.1.0.attn.relative_position_bias_table", torch.zeros(8, 2)),
        ("backbone.0.features.2.norm.weight", torch.zeros(7)),
        ("backbone.features.1.0.layer_scale", torch.zeros(4)),
    ],
)
def test_a_misshapen_weight_is_named(key, value):
    with pytest.raises(CheckpointMismatchError, match=f"wrong shape(.|\n)*{key}"):
        from_official({key: value})


@pytest.mark.parametrize(
    "state", [{}, {"transformer.level_embeds": torch.zeros(())}, {"neck.convs.9.0.weight": torch.zeros(2)}]
)
def test_settings_are_read_from_anything(state):
    assert infer_config(state)["model"]["type"] == "RelationDETR"


def test_options_are_the_same_for_every_function_of_the_converter():
    for function in (infer_config, target):
        names = inspect.signature(function).parameters
        assert [name for name in names if names[name].kind is names[name].KEYWORD_ONLY] == ["hybrid", "contiguous"]
