"""Official checkpoints: every key of every published width and depth, both ways."""

from pathlib import Path

import pytest
import torch

from mm_itransformer.checkpoint import from_official, infer_config, is_official, load_strictly, to_official
from mm_itransformer.models import ITransformer
from mmrepro.checkpoint import CheckpointMismatchError, convert_file
from mmrepro.safe_loading import load
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
MAIN = sorted(path.name for path in KEYS.glob("keys_itransformer_*.json"))
SMALL = {"seq_len": 24, "pred_len": 12, "d_model": 16, "n_heads": 2, "e_layers": 2, "d_ff": 24}


def meta_state(listed: dict) -> dict:
    return {key: torch.empty(shape, device="meta") for key, shape in listed["state_dict"].items()}


def small_official(**changes) -> dict:
    torch.manual_seed(3)
    return to_official(ITransformer(**(SMALL | changes)).state_dict())


@pytest.mark.parametrize("file", MAIN)
def test_every_official_key_is_converted_both_ways(file):
    for name, listed in load_keys(KEYS / file).items():
        config = listed["config"]
        with torch.device("meta"):
            model = ITransformer(
                config["seq_len"],
                config["pred_len"],
                config["d_model"],
                config["n_heads"],
                config["e_layers"],
                config["d_ff"],
            )
        official = meta_state(listed)
        assert is_official(official)
        converted = from_official(official)
        ours = model.state_dict()
        assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in ours.items()}, name
        back = {key: list(value.shape) for key, value in to_official(converted).items()}
        assert back == listed["state_dict"], name
        assert sum(p.numel() for p in model.parameters()) == listed["n_parameters"], name
        inferred = infer_config(official)["model"]
        assert inferred.items() <= model.settings.items(), name
        assert set(inferred) == {"seq_len", "pred_len", "d_model", "d_ff", "e_layers"}


def test_the_key_lists_are_all_there():
    assert len(MAIN) == 14
    assert sum(len(load_keys(KEYS / file)) for file in MAIN) >= 44


def test_round_trip_is_exact():
    official = small_official()
    back = to_official(from_official(official))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_wrapped_and_renamed_official_files_are_understood():
    official = small_official()
    renamed = {f"module.{key.replace('projector', 'projection')}": value for key, value in official.items()}
    ours = from_official({"state_dict": renamed})
    assert all(torch.equal(value, from_official(official)[key]) for key, value in ours.items())


@pytest.mark.parametrize("variant", ["keys_ireformer.json", "keys_transformer.json", "keys_informer.json"])
def test_checkpoints_of_other_models_are_refused_with_their_keys(variant):
    listed = next(iter(load_keys(KEYS / variant).values()))
    with pytest.raises(CheckpointMismatchError, match="no rule takes"):
        from_official(meta_state(listed))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seq_len", 48),
        ("pred_len", 6),
        ("e_layers", 3),
        ("d_model", 32),
        ("d_ff", 40),
        ("n_heads", 4),
        ("use_norm", False),
    ],
)
def test_a_checkpoint_of_another_setting_is_named_with_the_fix(setting, value):
    model = ITransformer(**SMALL)
    other = ITransformer(**(SMALL | {setting: value}))
    checkpoint = {"state_dict": other.state_dict(), "meta": {"model": other.settings}}
    with pytest.raises(CheckpointMismatchError, match=f"Fix: set model.{setting}={value}") as refused:
        load_strictly(model, checkpoint)
    assert f"{setting}: {value} in the file, {model.settings[setting]} in the config" in str(refused.value)


def test_an_incomplete_file_lists_what_is_missing():
    state = ITransformer(**SMALL).state_dict()
    del state["backbone.norm.bias"]
    with pytest.raises(CheckpointMismatchError, match=r"backbone\.norm\.bias"):
        load_strictly(ITransformer(**SMALL), {"state_dict": state})


def test_an_official_file_becomes_safetensors_and_official_again(tmp_path):
    torch.save(small_official(), tmp_path / "checkpoint.pth")
    meta = convert_file("itransformer", tmp_path / "checkpoint.pth", tmp_path / "ours.safetensors", n_heads=2)
    assert meta["model"] == SMALL
    model = ITransformer(**SMALL)
    load_strictly(model, load(tmp_path / "ours.safetensors"))
    convert_file("itransformer", tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True)
    back = load(tmp_path / "back.pth")
    assert all(torch.equal(value, back[key]) for key, value in small_official().items())
    with pytest.raises(CheckpointMismatchError, match="n_heads: 2 in the file, 4 in the config"):
        load_strictly(ITransformer(**(SMALL | {"n_heads": 4})), load(tmp_path / "ours.safetensors"))
