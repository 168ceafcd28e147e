"""Key rules: every key is accounted for, both ways; files are written whole, and without config code."""

from __future__ import annotations

import json
import sys
import types
from typing import Literal

import pytest
import torch
from torch import nn

from mmrepro import papers
from mmrepro.checkpoint import (
    Alias,
    CheckpointMismatchError,
    Drop,
    Join,
    KeyRules,
    Rename,
    Split,
    Squeeze,
    Transpose,
    check_options,
    convert,
    convert_file,
    save,
    strip_wrappers,
)
from mmrepro.safe_loading import UnreadableCheckpointError, load

LAYER, OURS = "encoder.{i}", "layers.{i}"


def positions(state):
    return {"encoder.pe": torch.arange(state["embed.weight"].shape[0])}


RULES = KeyRules(
    [
        Rename("embed.*", "embedding.*"),
        Join(tuple(f"{LAYER}.{name}.*" for name in ("query", "key", "value")), f"{OURS}.qkv.*"),
        Squeeze(f"{LAYER}.conv.weight", f"{OURS}.fc.weight", dim=-1),
        Rename(f"{LAYER}.conv.bias", f"{OURS}.fc.bias"),
        Transpose("mixer.weight", "mixer.proj"),
        Split("kv.weight", ("k.weight", "v.weight"), dim=1),
        Drop("encoder.pe", "computed from the width", recreate=positions),
        Drop("unused.*", "nothing reads it"),
        Rename("class_embed.*", "head.*"),
        Alias("decoder.class_embed.{i}.*", "class_embed.*", indices=(0, 1)),
    ]
)


def official() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = {"embed.weight": torch.randn(4, 3), "embed.bias": torch.randn(4)}
    for i in (0, 10):
        for name in ("query", "key", "value"):
            state[f"encoder.{i}.{name}.weight"] = torch.randn(4, 4)
            state[f"encoder.{i}.{name}.bias"] = torch.randn(4)
        state[f"encoder.{i}.conv.weight"] = torch.randn(6, 4, 1)
        state[f"encoder.{i}.conv.bias"] = torch.randn(6)
    state["mixer.weight"] = torch.randn(2, 5)
    state["kv.weight"] = torch.randn(3, 8)
    state["encoder.pe"] = torch.arange(4)
    state["class_embed.weight"] = torch.randn(2, 4)
    state["decoder.class_embed.0.weight"] = state["class_embed.weight"]
    state["decoder.class_embed.1.weight"] = state["class_embed.weight"].clone()
    return state


def test_official_keys_become_ours():
    source = official()
    ours = RULES.forward(source)
    assert set(ours) == {
        "embedding.weight",
        "embedding.bias",
        *(f"layers.{i}.{name}" for i in (0, 10) for name in ("qkv.weight", "qkv.bias", "fc.weight", "fc.bias")),
        "mixer.proj",
        "k.weight",
        "v.weight",
        "head.weight",
    }
    assert torch.equal(ours["layers.10.qkv.weight"][4:8], source["encoder.10.key.weight"])
    assert torch.equal(ours["layers.0.fc.weight"], source["encoder.0.conv.weight"][..., 0])
    assert torch.equal(ours["mixer.proj"], source["mixer.weight"].T)
    assert torch.equal(ours["v.weight"], source["kv.weight"][:, 4:])


def test_ours_become_the_official_keys_again_dropped_ones_and_second_names_too():
    source = official()
    back = RULES.backward(RULES.forward(source))
    assert set(back) == set(source)
    for key, tensor in source.items():
        assert torch.equal(back[key], tensor), key


def test_a_state_dict_without_data_converts_too():
    shapes = {key: tensor.to("meta") for key, tensor in official().items()}
    assert RULES.forward(shapes)["layers.0.qkv.weight"].shape == (12, 4)


def test_one_error_lists_every_key_at_fault():
    source = official()
    target = {key: tuple(tensor.shape) for key, tensor in RULES.forward(source).items()}
    target["embedding.bias"] = (5,)
    target["extra.weight"] = (1,)
    del target["head.weight"]
    del source["encoder.0.key.bias"]
    source["stray.weight"] = torch.zeros(1)
    source["kv.weight"] = torch.randn(3, 7)
    source["decoder.class_embed.1.weight"] = torch.zeros(2, 4)
    with pytest.raises(CheckpointMismatchError) as caught:
        convert(source, RULES, target, source="weights.pth")
    text = str(caught.value)
    assert text.startswith("weights.pth does not fit")
    for line in (
        "stray.weight",
        "encoder.0.key.bias",
        "extra.weight",
        "head.weight",
        "embedding.bias: (4,) in the file, (5,) in the model",
        "axis 1 of (3, 7) cannot be cut in 2 equal parts",
        "decoder.class_embed.1.weight, of class_embed.weight",
    ):
        assert line in text
    assert caught.value.problems["no rule takes"] == ["stray.weight"]


def test_a_target_can_be_a_model():
    rules = KeyRules([Rename("a.*", "0.*")])
    model = nn.Sequential(nn.Linear(2, 3))
    ours = convert({"a.weight": torch.ones(3, 2), "a.bias": torch.ones(3)}, rules, model)
    model.load_state_dict(ours, strict=True)
    with pytest.raises(CheckpointMismatchError, match=r"not in the file \(1\):\s+0.bias"):
        convert({"a.weight": torch.ones(3, 2)}, rules, model)


def test_two_keys_for_one_place_are_an_error():
    rules = KeyRules([Rename("projector.*", "head.*"), Rename("projection.*", "head.*")])
    with pytest.raises(CheckpointMismatchError, match="filled twice"):
        rules.forward({"projector.weight": torch.ones(1), "projection.weight": torch.ones(1)})


def test_a_kernel_that_is_not_1_is_an_error():
    rules = KeyRules([Squeeze("conv.weight", "fc.weight")])
    with pytest.raises(CheckpointMismatchError, match=r"axis -1 of .* is not of size 1"):
        rules.forward({"conv.weight": torch.ones(2, 2, 3)})


@pytest.mark.parametrize(
    "rule",
    [
        Rename("layers.{i}.*", "layers.*"),
        Join(("q.{i}.*", "k.*"), "qk.{i}.*"),
        Alias("decoder.{i}.head.*", "head.*"),
    ],
)
def test_a_rule_that_cannot_go_both_ways_is_refused_at_once(rule):
    with pytest.raises(ValueError, match=r"placeholders|indices"):
        KeyRules([rule])


def test_second_names_of_the_first_of_several():
    rules = KeyRules([Alias("head.{i}.*", "head.0.*", indices=(0, 1, 2)), Rename("head.0.*", "head.*")])
    source = {f"head.{i}.weight": torch.ones(2) for i in range(3)}
    ours = rules.forward(source)
    assert set(ours) == {"head.weight"}
    assert set(rules.backward(ours)) == set(source)


@pytest.mark.parametrize("name", ["state_dict", "model", "params", "params_ema", "model_state", None])
def test_the_state_dict_is_found_in_its_wrapper(name):
    state = {"module.a": torch.ones(1), "module.b": torch.ones(1)}
    found = strip_wrappers(state if name is None else {name: state, "epoch": 3})
    assert list(found) == ["a", "b"]


def test_averaged_weights_come_first():
    found = strip_wrappers({"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}})
    assert found["a"].item() == 1


def test_a_file_without_a_state_dict_is_an_error():
    with pytest.raises(UnreadableCheckpointError, match="found epoch, optimizer"):
        strip_wrappers({"epoch": 3, "optimizer": {}})


def test_what_is_saved_is_loaded_again(tmp_path):
    shared = torch.randn(4, 4)
    state = {"a": shared, "second name": shared, "transposed": shared.T, "half": shared[1::2], "n": torch.tensor(3)}
    meta = {"dataset_meta": {"mean": [1.5, 2.0], "time_features": True}, "epoch": 3, "note": "1.0"}
    save(tmp_path / "weights.safetensors", state, meta)
    loaded = load(tmp_path / "weights.safetensors")
    assert {key: loaded["meta"][key] for key in meta} == meta
    assert set(loaded["state_dict"]) == set(state)
    for key, tensor in state.items():
        assert torch.equal(loaded["state_dict"][key], tensor)


def test_config_code_is_not_published(tmp_path):
    with pytest.raises(ValueError, match="config code"):
        save(tmp_path / "weights.safetensors", {}, {"cfg": "model = dict(type='os.system')"})
    with pytest.raises(ValueError, match=r"meta\['when'\]"):
        save(tmp_path / "weights.safetensors", {}, {"when": object()})
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save(path, {"a": torch.ones(1)}, {})
    before = path.read_bytes()

    def stops_half_way(tensors, name, metadata):
        name.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", stops_half_way)
    with pytest.raises(OSError, match="disk full"):
        save(path, {"a": torch.zeros(1)}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def infer_config(state, *, n_heads: int | None = None, norm: bool = True) -> dict:
    return {"d_model": len(state["embed.weight"]), "n_heads": n_heads}


@pytest.fixture
def paper(monkeypatch):
    """A paper of its own, with the converter that every paper has."""
    converter = types.ModuleType("mm_toy.checkpoint")
    converter.is_official = lambda state: "embed.weight" in state
    converter.from_official = lambda state, target=None, source="": convert(state, RULES, target, source)
    converter.to_official = RULES.backward
    converter.infer_config = infer_config
    converter.target = lambda state: {key: tensor.shape for key, tensor in RULES.forward(official()).items()}
    monkeypatch.setitem(sys.modules, "mm_toy.checkpoint", converter)
    monkeypatch.setattr(papers, "module", lambda name: "mm_toy")
    monkeypatch.setattr(papers, "canonical", lambda name: name)
    return "toy"


def test_an_official_file_is_converted_and_back(paper, tmp_path):
    source = official()
    torch.save({"model": source}, tmp_path / "official.pth")
    meta = convert_file(paper, tmp_path / "official.pth", tmp_path / "ours.safetensors", n_heads=4)
    assert meta == {"paper": "toy", "converted_from": "official.pth", "d_model": 4, "n_heads": 4}
    ours = load(tmp_path / "ours.safetensors")
    assert ours["meta"].items() >= meta.items()
    convert_file(paper, tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True)
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert set(back) == set(source)
    assert all(torch.equal(back[key], source[key]) for key in source)


def test_a_training_checkpoint_is_published_without_its_config(paper, tmp_path):
    meta = {
        "cfg": "import os",
        "epoch": 3,
        "dataset_meta": {"freq": "h", "data": "/home/me/good.csv", "columns": ["wv (m/s)"]},
        "hook_msgs": {"best_ckpt": "/home/me/x"},
        "experiment_name": "secret_2026",
        "time": "20260101_000000",
        "files": [{"weights": "C:\\Users\\me\\start.pth"}],
    }
    torch.save({"state_dict": RULES.forward(official()), "meta": meta, "optimizer": {}}, tmp_path / "epoch_3.pth")
    convert_file(paper, tmp_path / "epoch_3.pth", tmp_path / "ours.safetensors")
    content = (tmp_path / "ours.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert set(header) == {"mmrepro", "paper", "epoch", "dataset_meta", "files"}
    assert json.loads(header["dataset_meta"]) == {"freq": "h", "data": "good.csv", "columns": ["wv (m/s)"]}
    assert json.loads(header["files"]) == [{"weights": "start.pth"}]


def test_a_relative_path_of_the_data_is_published_as_a_name(paper, tmp_path):
    meta = {"dataset_meta": {"data": "mine/a.csv"}}
    torch.save({"state_dict": RULES.forward(official()), "meta": meta}, tmp_path / "a.pth")
    assert convert_file(paper, tmp_path / "a.pth", tmp_path / "b.safetensors")["dataset_meta"] == {"data": "a.csv"}


@pytest.mark.parametrize("direction", ["official", "ours", "back"])
def test_a_file_must_fill_the_model(paper, tmp_path, direction):
    state = official() if direction == "official" else RULES.forward(official())
    absent, wrong = ("embed.bias", "mixer.weight") if direction == "official" else ("embedding.bias", "mixer.proj")
    del state[absent]
    state[wrong] = torch.zeros(3, 3)
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(CheckpointMismatchError) as caught:
        convert_file(paper, tmp_path / "part.pth", tmp_path / "out.safetensors", to_official=direction == "back")
    assert caught.value.source == str(tmp_path / "part.pth")
    made = ", made from embed.bias" if direction == "official" else ""
    assert caught.value.problems == {
        "not in the file": [f"embedding.bias{made}"],
        "wrong shape": ["mixer.proj: (3, 3) in the file, (5, 2) in the model"],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["part.pth"]


def test_a_part_that_is_missing_is_listed_once():
    source = official()
    target = {key: tensor.shape for key, tensor in RULES.forward(source).items()}
    del source["encoder.0.key.bias"]
    with pytest.raises(CheckpointMismatchError) as caught:
        convert(source, RULES, target)
    assert caught.value.problems == {"not in the file": ["encoder.0.key.bias"]}
    assert set(RULES.known(source)) == set(target) - {"layers.0.qkv.bias"}


@pytest.mark.parametrize(
    ("options", "to_official", "message"),
    [
        ({"nope": 3}, False, r"no option 'nope' here; known options: n_heads \(int\), norm \(true or false\)"),
        ({"n_heads": "abc"}, False, "n_heads='abc' is not of its type"),
        ({"n_heads": True}, False, "n_heads=True is not of its type"),
        ({"norm": 1}, False, "norm=1 is not of its type"),
        ({"src": 1, "dst": 2}, False, "no option 'src'"),
        ({"n_heads": 4}, True, "no option 'n_heads' here; known options: none"),
    ],
)
def test_options_are_checked(paper, tmp_path, options, to_official, message):
    state = RULES.forward(official()) if to_official else official()
    torch.save(state, tmp_path / "in.pth")
    with pytest.raises(ValueError, match=message):
        convert_file(paper, tmp_path / "in.pth", tmp_path / "out.safetensors", to_official=to_official, **options)
    assert not (tmp_path / "out.safetensors").exists()


def test_an_option_may_be_one_of_several_words():
    def backward(state, *, head: Literal["a", "b"] = "a", scale: float = 1.0): ...

    check_options({"head": "b", "scale": 2}, backward)
    with pytest.raises(ValueError, match=r"head='c' .* head \(a or b\), scale \(float\)"):
        check_options({"head": "c"}, backward)


def test_conversions_that_make_no_sense_are_refused(paper, tmp_path):
    torch.save(official(), tmp_path / "official.pth")
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        convert_file(paper, tmp_path / "official.pth", tmp_path / "ours.pth")
    with pytest.raises(ValueError, match="in the official layout already"):
        convert_file(paper, tmp_path / "official.pth", tmp_path / "back.pth", to_official=True)
    torch.save({"neither": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatchError, match="neither"):
        convert_file(paper, tmp_path / "other.pth", tmp_path / "ours.safetensors")
