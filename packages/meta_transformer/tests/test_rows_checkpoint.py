"""Official tabular and hyperspectral checkpoints: every key both ways, and the model of a file's sizes."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoint import from_official, infer_config, is_official, to_official
from mm_meta_transformer.checkpoints import hyper, tabular
from mmrepro.checkpoint import CheckpointMismatchError, differences
from mmrepro.testing import load_keys

KINDS = {"tabular_adult": tabular, "hyper_indian_pines": hyper}


@pytest.fixture(params=KINDS)
def name(request):
    return request.param


@pytest.fixture
def official(name):
    listed = load_keys(Path(__file__).parent / "parity" / f"keys_{name}.json")[name]["state_dict"]
    return {key: torch.empty(shape, device="meta") for key, shape in listed.items()}


def shapes(state):
    return {key: tuple(one.shape) for key, one in state.items()}


def test_every_official_key_is_converted_both_ways(name, official):
    assert [kind for kind in KINDS.values() if kind.matches(official)] == [KINDS[name]]
    assert is_official(official)
    ours = from_official(official)
    assert not is_official(ours)
    assert shapes(to_official(ours)) == shapes(official)


def test_a_file_fills_the_model_of_its_sizes(name, official):
    settings = KINDS[name].infer_config(official)
    assert infer_config(from_official(official)) == infer_config(official) == {"model": settings}
    with torch.device("meta"):
        model = MODELS.build(settings)
    assert not any(differences(from_official(official), model).values())


def test_sizes_are_read_from_the_weights():
    names = {
        "deeptabular.0.cat_and_cont_embed.cat_embed.embed.weight": (31, 64),
        "deeptabular.0.encoder.0.norm1.weight": (64,),
        "deeptabular.0.encoder.2.norm1.bias": (64,),
        "deeptabular.1.weight": (1, 5 * 64 + 3),
    }
    settings = tabular.infer_config({key: torch.empty(shape, device="meta") for key, shape in names.items()})
    found = settings["tokenizer"]
    assert (found["num_codes"], found["num_columns"], found["num_continuous"]) == (30, 5, 3)
    assert settings["encoder"]["arch"] == dict(embed_dims=64, depth=3, num_heads=1)
    names = {
        "patch_to_embedding.weight": (128, 27),
        "pos_embedding": (1, 104, 128),
        "transformer.0.norm1.weight": (128,),
        "transformer.1.norm1.bias": (128,),
        "mlp_head.1.weight": (9, 128),
    }
    settings = hyper.infer_config({key: torch.empty(shape, device="meta") for key, shape in names.items()})
    assert (settings["tokenizer"]["num_bands"], settings["tokenizer"]["in_channels"]) == (103, 27)
    assert settings["head"]["num_classes"] == 9


def test_an_mlp_behind_a_tables_tokens_is_refused_by_its_name():
    listed = load_keys(Path(__file__).parent / "parity" / "keys_tabular_adult.json")["tabular_adult"]["state_dict"]
    official = {key: torch.empty(shape, device="meta") for key, shape in listed.items()}
    official["deeptabular.0.mlp.mlp.dense_layer_0.0.weight"] = torch.empty(200, 9217, device="meta")
    with pytest.raises(CheckpointMismatchError, match="mlp_hidden_dims put an MLP before the last layer"):
        infer_config(official)


def test_a_key_of_another_model_is_refused(official):
    with pytest.raises(CheckpointMismatchError, match="no rule takes"):
        from_official(official | {"linear.weight": torch.empty(1, device="meta")})
