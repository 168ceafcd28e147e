"""Official checkpoints: every key of every official network both ways, second names, class rows, layers and heads."""

import inspect
import json
from argparse import Namespace
from functools import cache
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mm_vidt.checkpoint import class_names, from_official, infer_config, is_official, target, to_official, weights_of
from mm_vidt.class_rows import RAW_ROWS, is_class_row
from mmrepro.checkpoint import CheckpointMismatchError, convert_file, differences
from mmrepro.detection.class_space import COCO_IDS
from mmrepro.safe_loading import load
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
LISTS = sorted(path.stem.removeprefix("keys_") for path in KEYS.glob("keys_*.json"))
BODIES = {"swin_base_win7_22k": "base", "swin_large_win7_22k": "large"}
DIMS = 32


def listed(name: str) -> dict:
    (found,) = load_keys(KEYS / f"keys_{name}.json").values()
    return found


def manifest(name: str) -> dict:
    return json.loads((KEYS / f"keys_{name}.json").read_text(encoding="utf-8"))


@cache
def meta_state(name: str) -> dict[str, torch.Tensor]:
    found = listed(name)
    integers = set(found["integer_buffers"])
    return {
        key: torch.empty(shape, dtype=torch.long if key in integers else torch.float32, device="meta")
        for key, shape in found["state_dict"].items()
    }


@cache
def converted(name: str) -> dict[str, torch.Tensor]:
    return from_official(meta_state(name))


def shapes(state: dict) -> dict:
    return {key: (tuple(tensor.shape), tensor.dtype) for key, tensor in state.items()}


def settings(kind: str, classes: int, labels: str, layers: int) -> dict:
    arch = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), drop_path_rate=0.0)
    body = dict(type="ViDTSwinTransformer", arch=arch, num_det_tokens=4, det_pos_dims=DIMS)
    if kind == "coat":
        arch = dict(embed_dims=(32, 32, 32, 64), depths=(1, 2, 1, 1), mlp_ratios=(2, 2, 1, 1))
        body = dict(type="ViDTCoaT", arch=arch, num_det_tokens=4, det_pos_dims=DIMS)
    if kind == "neck-free":
        head = dict(type="ViDTNeckFreeHead", num_classes=classes, embed_dims=DIMS)
        return dict(type="ViDTNeckFree", backbone=body | dict(last_merging=False), bbox_head=head)
    widths = [32, 32, 64, DIMS] if kind == "coat" else [16, 32, 64, DIMS]
    mapper = dict(type="ChannelMapper", kernel_size=1, norm_cfg=dict(type="GN", num_groups=32), bias=True)
    neck = dict(type="EPFF") if kind == "plus" else dict(**mapper, act_cfg=None, num_outs=4)
    head = dict(type="ViDTHead", num_classes=classes, labels=labels, with_box_refine=kind != "norefine", n_keep=5)
    if kind == "plus":
        head |= dict(iou_aware=True, with_vector=True, token_label=True)
    return dict(
        type="ViDT",
        backbone=body,
        neck=dict(**neck, in_channels=widths, out_channels=DIMS),
        decoder=dict(num_layers=layers, embed_dims=DIMS, feedforward_channels=16),
        bbox_head=head,
    )


@cache
def small(kind: str = "plus", classes: int = RAW_ROWS, labels: str = "raw", layers: int = 3) -> nn.Module:
    """Return a small detector whose weights all differ."""
    model = MODELS.build(settings(kind, classes, labels, layers))
    random = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.detach().normal_(generator=random)
    return model


def test_the_key_lists_are_all_there():
    bodies = ("base", "nano", "small", "tiny")
    expected = [f"vidt_coat_lite_{name}" for name in ("mini", "small", "tiny")]
    expected += [f"vidt_plus_swin_{name}" for name in bodies]
    expected += [f"vidt_swin_{name}" for name in ("base", "large", "nano", "small", "tiny")]
    assert [*expected, *(f"vidt_wo_neck_swin_{name}" for name in bodies)] == LISTS


@pytest.mark.parametrize("name", LISTS)
def test_every_official_key_is_converted_both_ways(name):
    official = meta_state(name)
    assert is_official(official)
    assert not is_official(converted(name))
    assert shapes(to_official(converted(name))) == shapes(official)


@pytest.mark.parametrize("name", LISTS)
def test_every_file_fills_the_model_of_its_sizes(name):
    official, found = meta_state(name), listed(name)
    model = target(official)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert not any(differences(converted(name), model).values())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    kept = to_official(converted(name), unused=False).keys()
    never_used = sum(tensor.numel() for key, tensor in official.items() if key not in kept)
    assert parameters + never_used == manifest(name)["num_parameters"]
    assert not set(found["aliases"]) - kept


@pytest.mark.parametrize("name", LISTS)
def test_what_a_file_is_shows_in_its_sizes(name):
    arguments, found = manifest(name)["args"], infer_config(meta_state(name))["model"]
    body, head = found["backbone"], found["bbox_head"]
    assert body["num_det_tokens"] == arguments["det_token_num"]
    assert body["arch"] == BODIES.get(arguments["backbone_name"], arguments["backbone_name"].split("_")[-1])
    assert body["type"] == ("ViDTCoaT" if "coat" in name else "ViDTSwinTransformer")
    assert head["num_classes"] == RAW_ROWS
    if arguments.get("method") == "vidt_wo_neck":
        assert (found["type"], head["type"], body["last_merging"]) == ("ViDTNeckFree", "ViDTNeckFreeHead", False)
        return
    assert found["neck"]["type"] == ("EPFF" if arguments.get("epff") else "ChannelMapper")
    assert found["decoder"] == dict(
        num_layers=6, embed_dims=256, num_heads=8, num_levels=4, num_points=4, feedforward_channels=1024
    )
    flags = ("with_vector", "iou_aware", "token_label", "with_box_refine")
    assert [head[flag] for flag in flags] == [arguments.get(flag, False) for flag in flags]
    assert (head["labels"], head.get("n_keep")) == ("raw", 256 if head["with_vector"] else None)


@pytest.mark.parametrize("kind", ["plus", "plain", "norefine", "neck-free", "coat"])
def test_values_survive_the_way_there_and_back(kind):
    state = small(kind).state_dict()
    official = to_official(state)
    back = from_official(official)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    again = infer_config(official)["model"]
    assert infer_config(state)["model"] == again
    assert again["bbox_head"].get("with_box_refine", True) == (kind != "norefine")
    from_official(official, target(official))
    without_values = {key: tensor.to("meta") for key, tensor in official.items()}
    assert infer_config(without_values)["model"] == again


def test_second_names_are_those_of_the_official_code():
    official = to_official(small().state_dict())
    for level in range(4):
        for layer in range(3):
            for name in (f"layers.{layer}.weight", f"layers.{layer}.bias"):
                first = official[f"bbox_embed.{level}.{name}"]
                assert torch.equal(official[f"transformer.decoder.bbox_embed.{level}.{name}"], first)
                assert torch.equal(official[f"vector_embed.{level}.{name}"], official[f"vector_embed.0.{name}"])
    assert not any(key.startswith("transformer.decoder.bbox") for key in to_official(small("norefine").state_dict()))
    coat = to_official(small("coat").state_dict())
    assert torch.equal(coat["backbone.serial_blocks2.1.cpe.proj.weight"], coat["backbone.cpe2.proj.weight"])
    assert "backbone.serial_blocks1.1.cpe.proj.weight" not in coat


@pytest.mark.parametrize(
    ("kind", "key", "first"),
    [
        ("plus", "transformer.decoder.bbox_embed.1.layers.2.bias", "bbox_embed.1.layers.2.bias"),
        ("plus", "vector_embed.2.layers.0.weight", "vector_embed.0.layers.0.weight"),
        ("norefine", "class_embed.3.bias", "class_embed.0.bias"),
        ("norefine", "bbox_embed.1.layers.1.weight", "bbox_embed.0.layers.1.weight"),
        ("coat", "backbone.serial_blocks2.1.cpe.proj.bias", "backbone.cpe2.proj.bias"),
        (
            "coat",
            "backbone.serial_blocks1.0.factoratt_crpe.crpe.conv_list.0.bias",
            "backbone.crpe1.conv_list.0.bias",
        ),
    ],
)
def test_a_second_name_of_another_tensor_is_named(kind, key, first):
    official = to_official(small(kind).state_dict())
    official[key] = official[key] + 1
    with pytest.raises(CheckpointMismatchError, match=rf"odd\.pth(.|\n)*second name of.*\n +{key}, of {first}"):
        from_official(official, source="odd.pth")


def test_never_used_parameters_are_made_again_as_they_are_initialised():
    state = small().state_dict()
    kept, whole = to_official(state, unused=False), to_official(state)
    never = {key: tensor for key, tensor in whole.items() if key not in kept}
    assert never["transformer.level_embed"].shape == (4, DIMS)
    assert never["backbone.layers.0.downsample.expansion.weight"].shape == (16, 8)
    assert never["backbone.layers.3.downsample.expansion.weight"].shape == (DIMS, 64)
    assert never["backbone.norm3.bias"].shape == never["backbone.layers.3.downsample.norm2.bias"].shape == (64,)
    assert never["fusion.multi_scaler.refinenet_3.resConfUnit1.conv2.weight"].shape == (8, 8, 3, 3)
    assert all(
        torch.equal(tensor, torch.full_like(tensor, float("norm" in key and key.endswith("weight"))))
        for key, tensor in never.items()
    )


def test_a_decoder_layers_norms_follow_their_use():
    state = small().state_dict()
    official = to_official(state)
    for ours, theirs in {"norms.0": "norm2", "norms.1": "norm1", "norms.2": "norm3"}.items():
        assert torch.equal(
            official[f"transformer.decoder.layers.1.{theirs}.weight"], state[f"decoder.layers.1.{ours}.weight"]
        )


def test_index_tables_are_compared_and_written():
    official = to_official(small().state_dict())
    key = "backbone.layers.1.blocks.1.attn.relative_position_index"
    rows = torch.arange(7)
    row, column = torch.meshgrid(rows, rows, indexing="ij")
    row, column = row.flatten(), column.flatten()
    expected = (row[:, None] - row + 6) * 13 + column[:, None] - column + 6
    assert torch.equal(official[key], expected)
    with pytest.raises(CheckpointMismatchError, match=rf"{key}: orders the rows of the bias table otherwise"):
        from_official(official | {key: expected.T})


def test_contiguous_classes_keep_the_rows_of_coco_both_ways():
    official = to_official(small().state_dict())
    ids, ours = list(COCO_IDS), from_official(official, contiguous=True)
    for level in range(4):
        for name in ("weight", "bias"):
            assert torch.equal(
                ours[f"bbox_head.cls_branches.{level}.{name}"], official[f"class_embed.{level}.{name}"][ids]
            )
    assert torch.equal(ours["bbox_head.token_embed.bias"], official["transformer.token_embed.bias"][[0, *ids]])
    assert infer_config(official, contiguous=True)["model"]["bbox_head"]["labels"] == "contiguous"
    from_official(official, target(official, contiguous=True), contiguous=True)
    assert shapes(ours) == shapes(small(classes=80, labels="contiguous").state_dict())
    back = to_official(ours, contiguous=True)
    assert shapes(back) == shapes(official)
    for key in ("class_embed.2.weight", "transformer.token_embed.weight"):
        assert torch.equal(back[key][ids], official[key][ids])
        assert not back[key][12].any()
    assert back["class_embed.2.bias"][[0, 12, 90]].tolist() == [-100.0, -100.0, official["class_embed.2.bias"][90]]
    assert back["transformer.token_embed.bias"][0] == official["transformer.token_embed.bias"][0]


@pytest.mark.parametrize("kind", ["plus", "plain"])
def test_labels_of_official_files_are_raw_however_many(kind):
    state = small(kind, classes=7).state_dict()
    assert infer_config(to_official(state))["model"]["bbox_head"]["labels"] == "raw"


def test_the_background_of_the_neck_free_head_stays_the_last_row():
    official = to_official(small("neck-free").state_dict())
    ours = from_official(official, contiguous=True)
    bias = official["class_embed.layers.2.bias"]
    assert torch.equal(ours["bbox_head.cls_branch.4.bias"], bias[[*COCO_IDS, 91]])
    assert infer_config(official, contiguous=True)["model"]["bbox_head"]["num_classes"] == 80
    assert to_official(ours, contiguous=True)["class_embed.layers.2.bias"][91] == bias[91]


def test_other_classes_are_not_taken_for_cocos():
    official = to_official(small(classes=7).state_dict())
    with pytest.raises(CheckpointMismatchError, match=r"own\.pth(.|\n)*class(.|\n)*bias: 7 rows, not 91"):
        from_official(official, source="own.pth", contiguous=True)
    with pytest.raises(CheckpointMismatchError, match=r"token_embed\.bias: 7 rows, not 81"):
        to_official(from_official(official), contiguous=True)


def test_token_labels_of_contiguous_classes_need_the_raw_rows_officially():
    with pytest.raises(CheckpointMismatchError, match=r"81 rows for 80 classes\. Fix: contiguous=True"):
        to_official(small(classes=80, labels="contiguous").state_dict())


def test_decoder_layers_are_dropped_with_the_heads_of_their_levels():
    state = small(layers=4).state_dict()
    official = to_official(state)
    ours = from_official(official, num_layers=2)
    assert ours.keys() == small(layers=2).state_dict().keys()
    assert all(torch.equal(ours[key], state[key]) for key in ours)
    assert infer_config(official, num_layers=2)["model"]["decoder"]["num_layers"] == 2
    from_official(official, target(official, num_layers=2), num_layers=2)
    assert from_official(official, num_layers=4).keys() == state.keys()


@pytest.mark.parametrize("number", [0, 5])
def test_layers_that_a_file_lacks_are_said(number):
    official = to_official(small(layers=4).state_dict())
    with pytest.raises(CheckpointMismatchError, match=rf"six\.pth(.|\n)*num_layers={number} (.|\n)*it has 4"):
        from_official(official, source="six.pth", num_layers=number)


def test_heads_are_left_out_when_asked():
    official = to_official(small().state_dict())
    whole, masks, boxes = (from_official(official, heads=heads) for heads in ("all", "masks", "boxes"))
    kinds = [sorted({key.split(".")[1] for key in whole.keys() - part.keys()}) for part in (masks, boxes)]
    training = ["enc_output", "enc_output_norm", "iou_branches", "token_embed"]
    assert kinds == [training, [*training, "vector_branch"]]
    for heads, part in (("masks", masks), ("boxes", boxes)):
        found = infer_config(official, heads=heads)["model"]["bbox_head"]
        assert (found["with_vector"], found["iou_aware"]) == (heads == "masks", False)
        assert from_official(official, target(official, heads=heads), heads=heads).keys() == part.keys()


def test_a_file_of_a_training_is_read_and_converted(tmp_path):
    """It holds the optimiser, the schedule and the arguments besides."""
    state = small().state_dict()
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([parameter])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    arguments = Namespace(backbone_name="swin_nano", cross_indices=[3])
    file = dict(model=to_official(state), optimizer=optimizer.state_dict(), lr_scheduler=schedule.state_dict())
    torch.save(file | dict(epoch=49, args=arguments), tmp_path / "theirs.pth")
    found = weights_of(load(tmp_path / "theirs.pth"))
    assert all(torch.equal(found[key], state[key]) for key in state)
    convert_file("vidt", tmp_path / "theirs.pth", tmp_path / "ours.safetensors", contiguous=True, num_layers=2)
    convert_file("vidt", tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True, contiguous=True)
    back, there = load(tmp_path / "back.pth"), file["model"]
    assert {key for key in there if key not in back} == {
        key for key in there if "decoder.layers.2." in key or "_embed.3." in key
    }
    assert torch.equal(back["class_embed.1.weight"][1], there["class_embed.1.weight"][1])
    meta = load(tmp_path / "ours.safetensors")["meta"]
    assert meta["model"]["decoder"]["num_layers"] == 2
    assert len(meta["dataset_meta"]["classes"]) == 80


def test_files_of_a_distillation_hold_a_plain_detector():
    teacher = dict(type="ViDTDistiller", teacher_config={}, teacher_checkpoint="")
    student = MODELS.build(settings("plain", RAW_ROWS, "raw", 3) | teacher)
    assert to_official(student.state_dict()).keys() == to_official(small("plain").state_dict()).keys()
    assert infer_config(student.state_dict()) == infer_config(small("plain").state_dict())


def test_classes_of_official_files_are_cocos():
    plus, neck_free = meta_state("vidt_plus_swin_nano"), meta_state("vidt_wo_neck_swin_nano")
    for state in (plus, neck_free):
        names = class_names(state)
        assert (len(names), names[:2], names[12], names[90]) == (91, ("none", "person"), "none", "toothbrush")
        assert infer_config(state)["dataset_meta"] == {"classes": names}
        assert class_names(state, contiguous=True) == tuple(name for name in names if name != "none")
    assert class_names(from_official(plus)) is None
    assert "dataset_meta" not in infer_config(to_official(small(classes=7).state_dict()))


def test_class_rows_are_all_that_depend_on_the_classes():
    few, many = (shapes(small(classes=classes).state_dict()) for classes in (3, 4))
    assert {key for key in few if few[key] != many[key]} == set(filter(is_class_row, few))
    few, many = (shapes(small("neck-free", classes=classes).state_dict()) for classes in (3, 4))
    assert {key for key in few if few[key] != many[key]} == set(filter(is_class_row, few))


def test_keys_that_do_not_fit_are_named():
    official = to_official(small().state_dict())
    fitting = {key: tuple(tensor.shape) for key, tensor in from_official(official).items()}
    wrong = fitting | {"backbone.det_token": (1, 5, 8), "bbox_head.more.bias": (4,)}
    with pytest.raises(CheckpointMismatchError) as refused:
        from_official(official | {"transformer.surplus": torch.zeros(1)}, wrong, "vidt.pth")
    text = str(refused.value)
    assert "vidt.pth does not fit" in text
    assert "no rule takes (1):\n    transformer.surplus" in text
    assert "backbone.det_token: (1, 4, 8) in the file, (1, 5, 8) in the model" in text
    with pytest.raises(CheckpointMismatchError, match=r"not in the file (.|\n)*bbox_head\.vector_branch\.4\.bias"):
        from_official(official, fitting, heads="boxes")
    del official["tgt_proj.0.bias"], official["transformer.reference_points.bias"]
    with pytest.raises(CheckpointMismatchError, match=r"reference_points_fc.bias, made from transformer.ref(.|\n)*tgt"):
        from_official(official, fitting)


@pytest.mark.parametrize(
    ("foreign", "start"),
    [
        ("layers.0.blocks.0.attn.qkv.weight", "PretrainedSwinBody"),
        ("serial_blocks1.0.factoratt_crpe.qkv.weight", "PretrainedCoaTBody"),
    ],
)
def test_an_imagenet_body_is_said_to_be_one(foreign, start):
    with pytest.raises(CheckpointMismatchError, match=f"an ImageNet body alone(.|\n)*{foreign}(.|\n)*type='{start}'"):
        weights_of({"model": {foreign: torch.zeros(1)}})


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"backbone.det_token": torch.zeros(())},
        {"neck.convs.0.conv.weight": torch.zeros(2)},
        {"backbone.serial_blocks1.0.mlp.fc1.bias": torch.zeros(3)},
        {"class_embed.0.bias": torch.zeros(0)},
    ],
)
def test_settings_are_read_from_anything(state):
    assert infer_config(state)["model"]["type"] == "ViDT"
    assert target(state) is not None


def test_options_are_the_same_for_every_function_of_the_converter():
    for function in (from_official, infer_config, target):
        parameters = inspect.signature(function).parameters.values()
        names = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        assert names == ["contiguous", "num_layers", "heads"]
