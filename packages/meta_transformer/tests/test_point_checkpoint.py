"""The official point cloud files: every key both ways, and the model that a file belongs to."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer import checkpoint
from mm_meta_transformer.checkpoints import point_cloud
from mmrepro.checkpoint import differences
from mmrepro.testing import load_config
from mmrepro.testing.cases import load_keys

ROOT = Path(__file__).resolve().parents[1]
# Parameters in all and trained, and the config whose model it is; the counts are the specification's, measured there
KINDS = {
    "modelnet40": (86_514_600, 1_460_136, "meta-transformer_base_1xb32-300e_modelnet40-1024"),
    "scanobjectnn": (89_761_039, 4_706_575, "meta-transformer_base_1xb32-300e_scanobjectnn"),
    "s3dis": (93_888_909, 8_834_445, "meta-transformer_base_1xb8-600e_s3dis-area5"),
    "shapenetpart": (94_145_266, 9_090_802, "meta-transformer_base_4xb8-300e_shapenetpart"),
}


def official_state(kind):
    (variant,) = load_keys(ROOT / "tests" / "parity" / f"keys_pointcloud_{kind}.json").values()
    return {key: torch.empty(shape, device="meta") for key, shape in variant["state_dict"].items()}


def shapes(state):
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_ours_and_comes_back(kind):
    official = official_state(kind)
    model = checkpoint.target(official)
    ours = checkpoint.from_official(official, model)
    assert not any(differences(ours, model).values())
    assert shapes(checkpoint.to_official(ours)) == shapes(official)


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_has_the_files_model(kind):
    total, trained, name = KINDS[kind]
    config = load_config(ROOT / "configs" / "meta_transformer" / f"{name}.py").model
    with torch.device("meta"):
        model = MODELS.build(config)
        inferred = MODELS.build(point_cloud.infer_config(official_state(kind)))
    assert shapes(model.state_dict()) == shapes(inferred.state_dict())
    counts = [
        sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or everything)
        for everything in (True, False)
    ]
    assert counts == [total, trained]
    if kind in ("modelnet40", "scanobjectnn"):
        assert model.pooling == inferred.pooling


def test_scannets_model_is_inferred_from_its_head():
    name = "meta-transformer_base_8xb2-600e_scannet"
    with torch.device("meta"):
        model = MODELS.build(load_config(ROOT / "configs" / "meta_transformer" / f"{name}.py").model)
    settings = checkpoint.infer_config(model.state_dict())["model"]
    assert (settings["head"]["append"], settings["head"]["hidden"], settings["head"]["num_classes"]) == (
        ("max",),
        None,
        20,
    )
    with torch.device("meta"):
        assert shapes(MODELS.build(settings).state_dict()) == shapes(model.state_dict())


def test_a_file_without_a_head_is_refused():
    official = {key: one for key, one in official_state("modelnet40").items() if not key.startswith("prediction.")}
    with pytest.raises(checkpoint.CheckpointMismatchError, match=r"prediction\.head\.0\.0\.weight"):
        checkpoint.infer_config(official)
