"""Official files of every kind: told apart and converted both ways, into the model of their sizes."""

from functools import cache
from pathlib import Path

import pytest
import torch

from mm_meta_transformer.checkpoint import (
    from_official,
    infer_config,
    is_official,
    kinds,
    never_used,
    target,
    to_official,
)
from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mmrepro.checkpoint import CheckpointMismatchError, differences
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
LISTS = sorted(path.stem.removeprefix("keys_") for path in KEYS.glob("keys_*.json"))
KINDS = {  # by how the lists are named
    **{"audio": "audio", "encoder": "encoder", "graph": "graph", "hyper": "hyper", "image": "adapter"},
    **{"pointcloud": "point_cloud", "tabular": "tabular", "timeseries": "timeseries", "video": "video", "xray": "vit"},
}
OURS_ALREADY = "adapter"  # its official names are ours


@cache
def meta_state(name):
    (found,) = load_keys(KEYS / f"keys_{name}.json").values()
    return {key: torch.empty(shape, device="meta") for key, shape in found["state_dict"].items()}


def shapes(state):
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def test_every_key_list_is_of_exactly_one_kind():
    found = {name: [kind for kind, module in kinds().items() if module.matches(meta_state(name))] for name in LISTS}
    assert {name: kind for name, kind in found.items() if len(kind) != 1} == {}
    assert {name: kind for name, (kind,) in found.items()} == {name: KINDS[name.split("_")[0]] for name in LISTS}
    assert set(KINDS.values()) == set(kinds())


@pytest.mark.parametrize("name", LISTS)
def test_every_official_key_is_converted_both_ways_and_fills_its_model(name):
    official = meta_state(name)
    model = target(official)
    assert all(parameter.is_meta for parameter in model.parameters())
    ours = from_official(official, model)
    assert is_official(ours) == (KINDS[name.split("_")[0]] == OURS_ALREADY)
    assert not any(differences(ours, model).values())
    assert shapes(to_official(ours)) == shapes(official)
    assert infer_config(ours) == infer_config(official)
    used = {key: value for key, value in official.items() if key not in never_used(official)}
    assert shapes(from_official(used, model, "without what is never read")) == shapes(ours)


def test_sizes_are_those_of_the_published_models():
    large = infer_config(meta_state("encoder_large_patch14"))["model"]
    assert large["arch"] == dict(embed_dims=1024, depth=24, num_heads=16)
    xray = infer_config(meta_state("xray_chest"))["model"]
    assert xray["tokenizer"] == dict(type="ImageTokenizer", img_size=224, patch_size=16, in_channels=3)
    assert xray["head"]["num_classes"] == 1000
    video = infer_config(meta_state("video_k400_base"))["model"]
    assert (video["tokenizer"]["tubelet_size"], video["encoder"]["qkv"], video["head"]["num_classes"]) == (
        2,
        "video",
        400,
    )


def test_an_encoder_of_other_mlps_without_biases_goes_both_ways():
    arch = dict(embed_dims=64, depth=2, num_heads=1, mlp_ratio=2.5)
    ours = MetaTransformerEncoder(arch, qkv="none").state_dict()
    official = to_official(ours)
    assert infer_config(official)["model"] == dict(type="MetaTransformerEncoder", arch=arch, qkv="none")
    assert shapes(from_official(official, target(official))) == shapes(ours)


def test_a_file_of_no_kind_is_refused_with_the_kinds():
    with pytest.raises(
        CheckpointMismatchError, match=r"odd\.pth(.|\n)*of no official kind(.|\n)*encoder, .*video, vit"
    ):
        from_official({"fc.weight": torch.ones(1)}, source="odd.pth")
    with pytest.raises(CheckpointMismatchError, match="the official repository has no such model"):
        to_official({"fc.weight": torch.ones(1)})


def test_a_key_without_a_place_is_named():
    odd = meta_state("xray_chest") | {"blocks.0.gamma1": torch.ones(768)}
    with pytest.raises(CheckpointMismatchError, match=r"gamma1"):
        from_official(odd, target(meta_state("xray_chest")), "own.pth")


def test_a_file_whose_sizes_cannot_be_read_is_refused():
    cut = {key: value for key, value in meta_state("xray_chest").items() if key != "blocks.0.norm1.weight"}
    with pytest.raises(CheckpointMismatchError, match=r"its sizes cannot be read(.|\n)*blocks\.0\.norm1\.weight"):
        infer_config(cut)
