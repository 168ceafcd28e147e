"""Official checkpoints: every key of every official network both ways, second names, never-used keys and depth bins."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from mm_monodino_detr.checkpoint import (
    class_names,
    from_official,
    infer_config,
    is_official,
    never_used,
    require_official,
    target,
    to_official,
    weights_of,
)
from mm_monodino_detr.models.depth_bins import depth_bin_values
from mmrepro.checkpoint import CheckpointMismatchError, convert_file, differences
from mmrepro.safe_loading import load
from mmrepro.testing import SplitAdapter, load_keys

_SMALL = SplitAdapter(Path(__file__).resolve().parent, {}).part("small_mono3d")
DIMS, drawn_detector = _SMALL.DIMS, _SMALL.drawn_detector

KEYS = Path(__file__).parent / "parity"
LISTS = [f"vit{size}_{kind}" for size in "bls" for kind in ("dab", "nodab")]
PUBLIC = [f"depth_anything_v2_vit{size}" for size in "bls"]
ARCHS = {"s": "small", "b": "base", "l": "large"}
BINS = "depth_predictor_2.depth_bin_values"


def listed(name: str) -> dict:
    (found,) = load_keys(KEYS / f"keys_{name}.json").values()
    return found


@cache
def meta_state(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in listed(name)["state_dict"].items()}


@cache
def converted(name: str) -> dict[str, torch.Tensor]:
    return from_official(meta_state(name))


def shapes(state: dict) -> dict:
    return {key: (tuple(tensor.shape), tensor.dtype) for key, tensor in state.items()}


@cache
def small(use_dab: bool = True, classes: int = 4, depth_max: float = 20.0) -> nn.Module:
    """Return a small detector of 7 depth bins whose weights all differ."""
    return drawn_detector(
        classes=classes,
        predictor=dict(num_depth_bins=7, depth_max=depth_max),
        decoder=dict(use_dab=use_dab),
    )


def test_the_key_lists_are_all_there():
    assert sorted(path.stem.removeprefix("keys_") for path in KEYS.glob("keys_*.json")) == sorted([*LISTS, *PUBLIC])


@pytest.mark.parametrize("name", LISTS)
def test_every_official_key_is_converted_both_ways(name):
    official = meta_state(name)
    assert is_official(official)
    assert not is_official(converted(name))
    assert shapes(to_official(converted(name))) == shapes(official)


@pytest.mark.parametrize("name", LISTS)
def test_every_file_fills_the_model_of_its_sizes(name):
    official = meta_state(name)
    model = target(official)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert not any(differences(converted(name), model).values())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    unused = sum(official[key].numel() for key in never_used(official))
    whole = json.loads((KEYS / f"keys_{name}.json").read_text(encoding="utf-8"))
    assert parameters + unused == whole["parameters"]
    assert not never_used(official) & set(listed(name)["aliases"])


@pytest.mark.parametrize("name", LISTS)
def test_what_a_file_is_shows_in_its_sizes(name):
    found = infer_config(meta_state(name))
    model = found["model"]
    assert model["backbone"] == dict(type="DINOv2ViT", arch=ARCHS[name[3]], img_size=518)
    assert model["depth_head"] == dict(type="DPTDepthHead", arch=ARCHS[name[3]])
    assert model["decoder"]["use_dab"] == name.endswith("_dab")
    assert [model["encoder"]["num_layers"], model["decoder"]["num_layers"], model["num_queries"]] == [3, 3, 50]
    assert (model["group_num"], model["bbox_head"]["num_classes"]) == (11, 4)
    predictor = model["depth_predictor"]
    assert (predictor["num_depth_bins"], predictor["depth_min"], predictor["depth_max"]) == (80, 1e-3, 60.0)
    assert found["dataset_meta"] == {"classes": ("Pedestrian", "Car", "Cyclist")}


@pytest.mark.parametrize("name", PUBLIC)
def test_files_of_the_frozen_parts_are_no_detectors(name):
    state = meta_state(name)
    assert not is_official(state)
    with pytest.raises(CheckpointMismatchError, match=r"no detector(.|\n)*type='PretrainedDepthAnything'"):
        weights_of(dict(state))
    body = {key.removeprefix("pretrained."): one for key, one in state.items() if key.startswith("pretrained.")}
    with pytest.raises(CheckpointMismatchError, match=r"no detector(.|\n)*type='PretrainedDINOv2'"):
        weights_of(body)
    with pytest.raises(CheckpointMismatchError, match="no detector"):  # as converting finds
        target(state)


@pytest.mark.parametrize("use_dab", [True, False])
def test_values_survive_the_way_there_and_back(use_dab):
    state = small(use_dab).state_dict()
    official = to_official(state)
    back = from_official(official)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    assert infer_config(official)["model"] == infer_config(state)["model"]
    from_official(official, target(official))


def test_second_names_are_those_of_the_official_code():
    official = to_official(small().state_dict())
    for first, second in (
        ("bbox_embed.1.layers.2.bias", "depthaware_transformer.decoder.bbox_embed.1.layers.2.bias"),
        ("dim_embed_3d.0.layers.1.weight", "depthaware_transformer.decoder.dim_embed.0.layers.1.weight"),
        ("backbone.0.backbone.cls_token", "backbone.backbone.backbone.cls_token"),
        ("backbone.0.dpt_head.projects.2.bias", "backbone.backbone.dpt_head.projects.2.bias"),
    ):
        assert torch.equal(official[first], official[second])
        odd = official | {second: official[second] + 1}
        with pytest.raises(CheckpointMismatchError, match=rf"odd\.pth(.|\n)*{second}, of {first}"):
            from_official(odd, source="odd.pth")


@pytest.mark.parametrize("use_dab", [True, False])
def test_never_used_parameters_come_back_as_zeros(use_dab):
    state = small(use_dab).state_dict()
    kept, whole = to_official(state, unused=False), to_official(state)
    never = {key: tensor for key, tensor in whole.items() if key not in kept}
    bins = never.pop(BINS)
    assert torch.equal(bins, depth_bin_values(7, 1e-3, 20.0))
    decoder = "depthaware_transformer.decoder"
    assert never["label_enc.weight"].shape == (5, DIMS - 1)
    assert never[f"{decoder}.layers.1.sa_v_proj.weight"].shape == (DIMS, DIMS)
    assert (f"{decoder}.query_scale_bbox.layers.1.weight" in never) == use_dab
    assert (f"{decoder}.ref_point_head.layers.1.weight" in never) != use_dab
    assert not any(tensor.any() for tensor in never.values())


def test_the_depths_of_the_bins_are_compared_and_read():
    official = to_official(small(depth_max=20.5).state_dict(), depth_max=20.5)
    assert infer_config(official)["model"]["depth_predictor"]["depth_max"] == 20.5
    assert (
        infer_config({key: one for key, one in official.items() if key != BINS})["model"]["depth_predictor"][
            "depth_max"
        ]
        == 20.0
    )
    uniform = official | {BINS: torch.linspace(0.001, 20.5, 8)}
    with pytest.raises(
        CheckpointMismatchError, match=rf"own\.pth(.|\n)*{BINS}: not the bins from 0.001 to 20.5 m. Fix"
    ):
        from_official(uniform, source="own.pth")
    with pytest.raises(CheckpointMismatchError, match=r"its shape is \(\), not"):
        from_official(official | {BINS: torch.tensor(1.0)})


def test_a_depth_range_that_an_official_file_would_lose_is_refused():
    require_official({"model": {"depth_predictor": dict(depth_min=1e-3, depth_max=120.0)}}, "ours.pth")
    require_official({}, "ours.pth")
    with pytest.raises(
        CheckpointMismatchError, match=r"ours\.pth(.|\n)*to_official\(state, depth_min=0.5, depth_max=60.0"
    ):
        require_official({"model": {"depth_predictor": dict(depth_min=0.5, depth_max=60.0)}}, "ours.pth")


def test_class_names_are_the_official_ones_for_their_four_rows_alone():
    assert class_names(to_official(small().state_dict())) == ("Pedestrian", "Car", "Cyclist")
    assert class_names(to_official(small(classes=1).state_dict())) is None
    assert class_names(small().state_dict()) is None


@pytest.mark.parametrize("problem", ["unknown", "missing", "shape"])
def test_every_key_at_fault_is_named(problem):
    official = to_official(small().state_dict())
    if problem == "unknown":
        official["extra.weight"] = torch.zeros(1)
        message = r"no rule takes \(1\):\n +extra\.weight"
    elif problem == "missing":
        del official["depth_embed.1.layers.0.bias"]
        message = r"depth_embed\.1\.layers\.0\.bias"
    else:
        official["input_proj.1.1.bias"] = torch.zeros(5)
        message = r"neck\.input_proj\.1\.1\.bias: \(5,\) in the file"
    with pytest.raises(CheckpointMismatchError, match=message):
        from_official(official, small(), "broken.pth")


def test_a_training_file_is_converted_with_its_wrappers(tmp_path):
    official = to_official(small().state_dict())
    parallel = {f"module.{key}": tensor for key, tensor in official.items()}
    rest = {"epoch": 3, "optimizer_state": {"state": {}, "param_groups": []}, "best_result": 19.4, "best_epoch": 2}
    torch.save({"model_state": parallel, **rest}, tmp_path / "checkpoint_best.pth")
    meta = convert_file("monodino_detr", tmp_path / "checkpoint_best.pth", tmp_path / "ours.safetensors")
    assert meta["model"]["decoder"]["use_dab"]
    convert_file("monodino_detr", tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True)
    back = load(tmp_path / "back.pth")
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in back)
