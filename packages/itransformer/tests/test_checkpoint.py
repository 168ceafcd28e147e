"""Official checkpoints: every key of every published width and depth, both ways."""

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mm_itransformer.checkpoint import from_official, infer_config, is_official, load_strictly, target, to_official
from mm_itransformer.models import ITransformer
from mm_itransformer.models.tasks import ITransformerAnomalyDetector, ITransformerClassifier, ITransformerImputer
from mm_itransformer.models.temporal import TemporalTransformer
from mmrepro.checkpoint import CheckpointMismatchError, convert_file
from mmrepro.cli import main
from mmrepro.safe_loading import load
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
MAIN = sorted(path.name for path in KEYS.glob("keys_itransformer_*.json"))
# The other models of the repository, and what their keys say of the attention
REFORMERS = {"keys_ireformer.json", "keys_reformer.json"}
OTHERS = sorted({path.name for path in KEYS.glob("keys_*.json")} - set(MAIN))
LSH = {"type": "LSHAttention", "bucket_size": 4, "n_hashes": 4}
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


@pytest.mark.parametrize("file", OTHERS)
def test_every_official_key_of_the_other_models_is_converted_both_ways(file):
    for name, listed in load_keys(KEYS / file).items():
        official = meta_state(listed)
        assert is_official(official)
        model = target(official, n_heads=listed["config"]["n_heads"])
        converted = from_official(official, model)
        back = {key: list(value.shape) for key, value in to_official(converted).items()}
        assert back == listed["state_dict"], name
        assert sum(p.numel() for p in model.parameters()) == listed["n_parameters"], name
        assert not is_official(converted)
        assert {key: value.shape for key, value in target(converted).state_dict().items()} == {
            key: value.shape for key, value in model.state_dict().items()
        }
        inferred = infer_config(official)["model"]
        assert inferred.pop("attention", None) == (LSH if file in REFORMERS else None)
        config = listed["config"] | {"n_marks": 4, "distil": file == "keys_informer.json"}
        assert inferred.items() <= config.items(), name


def test_the_other_models_key_lists_are_all_there():
    inverted, baselines = (f for f in OTHERS if f.startswith("keys_i")), (f for f in OTHERS if "former" in f)
    assert {"keys_iinformer.json", "keys_ireformer.json", "keys_iflowformer.json", "keys_iflashformer.json"} <= set(
        inverted
    )
    assert len(list(baselines)) == 9


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
        ("attention", {"type": "FlowAttention"}),
    ],
)
def test_a_checkpoint_of_another_setting_is_named_with_the_fix(setting, value):
    model = ITransformer(**SMALL)
    other = ITransformer(**(SMALL | {setting: value}))
    checkpoint = {"state_dict": other.state_dict(), "meta": {"model": other.settings}}
    with pytest.raises(CheckpointMismatchError, match=re.escape(f"Fix: set model.{setting}={value}")) as refused:
        load_strictly(model, checkpoint)
    assert f"{setting}: {value} in the file, {model.settings[setting]} in the config" in str(refused.value)


@pytest.mark.parametrize(
    ("stored", "configured"),
    [
        ({"type": "ProbSparseAttention", "factor": 3}, {"type": "ProbSparseAttention"}),
        ({"type": "ProbSparseAttention", "head_layout": "fixed"}, {"type": "ProbSparseAttention"}),
        ({"type": "LSHAttention"}, {"type": "LSHAttention", "n_hashes": 2}),
        ({"type": "FlashAttention"}, None),
    ],
)
def test_a_checkpoint_of_another_attention_is_refused_by_its_arguments(stored, configured):
    model, other = (ITransformer(**SMALL, attention=attention) for attention in (configured, stored))
    checkpoint = {"state_dict": other.state_dict(), "meta": {"model": other.settings}}
    with pytest.raises(CheckpointMismatchError, match=r"attention: .* in the file, .* in the config. Fix: set model"):
        load_strictly(model, checkpoint)
    load_strictly(ITransformer(**SMALL, attention=stored), checkpoint)


def test_dropout_and_defaults_written_out_make_no_other_attention():
    attention = {"type": "ProbSparseAttention", "factor": 1, "head_layout": "reference", "dropout": 0.3}
    other = ITransformer(**SMALL, attention=attention)
    model = ITransformer(**SMALL, attention={"type": "ProbSparseAttention"})
    load_strictly(model, {"state_dict": other.state_dict(), "meta": {"model": other.settings}})
    assert model.settings == other.settings


def test_a_checkpoint_from_before_attention_was_written_down_is_loaded():
    model = ITransformer(**SMALL)
    old = {name: value for name, value in model.settings.items() if name != "attention"}
    load_strictly(ITransformer(**SMALL), {"state_dict": model.state_dict(), "meta": {"model": old}})


def test_weights_of_lsh_attention_without_meta_tell_their_attention():
    state = ITransformer(**SMALL, attention={"type": "LSHAttention", "n_hashes": 2}).state_dict()
    assert infer_config(state)["model"]["attention"] == {"type": "LSHAttention"}
    with pytest.raises(CheckpointMismatchError, match=r"attention: {'type': 'LSHAttention'} in the file"):
        load_strictly(ITransformer(**SMALL), {"state_dict": state})
    load_strictly(ITransformer(**SMALL, attention={"type": "LSHAttention", "n_hashes": 2}), {"state_dict": state})


def test_a_baselines_file_is_no_inverted_models_and_the_other_way_round():
    baseline = TemporalTransformer(24, 12, 8, enc_in=3, d_model=16, n_heads=2, d_ff=24)
    inverted = ITransformer(**SMALL)
    for model, state in ((inverted, baseline.state_dict()), (baseline, inverted.state_dict())):
        for layout in (state, to_official(state)):
            with pytest.raises(
                CheckpointMismatchError, match=r"a model over time tokens in the .*Fix: set model\.type"
            ):
                load_strictly(model, {"state_dict": layout})


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


@pytest.mark.parametrize(
    ("attention", "options"),
    [
        ({"type": "LSHAttention"}, {}),
        ({"type": "LSHAttention"}, {"attention": "LSHAttention"}),
        ({"type": "FlowAttention"}, {"attention": "FlowAttention"}),
        ({"type": "FlashAttention"}, {"attention": "FlashAttention"}),
        ({"type": "ProbSparseAttention", "factor": 3}, {"attention": "ProbSparseAttention", "factor": 3}),
    ],
)
def test_a_variants_file_is_converted_with_its_attention_in_the_meta(tmp_path, attention, options):
    official = small_official(attention=attention)
    torch.save(official, tmp_path / "checkpoint.pth")
    meta = convert_file("itransformer", tmp_path / "checkpoint.pth", tmp_path / "ours.safetensors", **options)
    model = ITransformer(**SMALL, attention=attention)
    assert meta["model"]["attention"] == model.settings["attention"]
    load_strictly(model, load(tmp_path / "ours.safetensors"))
    with pytest.raises(CheckpointMismatchError, match=r"attention: .* in the file"):
        load_strictly(ITransformer(**SMALL), load(tmp_path / "ours.safetensors"))
    convert_file("itransformer", tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True)
    back = load(tmp_path / "back.pth")
    assert back.keys() == official.keys()
    assert all(torch.equal(value, back[key]) for key, value in official.items())


def test_without_its_factor_a_prob_sparse_file_fits_any(tmp_path):
    official = small_official()
    settings = infer_config(official, attention="ProbSparseAttention")["model"]
    assert settings["attention"] == {"type": "ProbSparseAttention", "head_layout": "reference"}
    ours = {"state_dict": from_official(official), "meta": {"model": settings}}
    for factor in (1, 3):
        load_strictly(ITransformer(**SMALL, attention={"type": "ProbSparseAttention", "factor": factor}), ours)


def test_a_baselines_file_becomes_safetensors_and_official_again(tmp_path):
    model = TemporalTransformer(24, 12, 8, enc_in=3, d_model=16, n_heads=2, d_ff=24)
    official = to_official(model.state_dict())
    torch.save(official, tmp_path / "checkpoint.pth")
    options = {"n_heads": 2, "attention": "FlowAttention"}
    meta = convert_file("itransformer", tmp_path / "checkpoint.pth", tmp_path / "ours.safetensors", **options)
    assert meta["model"]["attention"] == {"type": "FlowAttention"}
    assert meta["model"]["n_heads"] == 2
    convert_file("itransformer", tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True)
    back = load(tmp_path / "back.pth")
    assert back.keys() == official.keys()
    assert all(torch.equal(value, back[key]) for key, value in official.items())


TASK_MODELS = {
    "imputation": (ITransformerImputer, {}),
    "anomaly_detection": (ITransformerAnomalyDetector, {}),
    "classification": (ITransformerClassifier, {"n_variates": 3, "num_class": 5}),
}


@pytest.mark.parametrize("task", TASK_MODELS)
def test_a_tasks_file_becomes_safetensors_and_official_again(tmp_path, task):
    cls, sizes = TASK_MODELS[task]
    small = {name: value for name, value in SMALL.items() if name != "pred_len"} | sizes
    official = to_official(cls(**small).state_dict(), head="projection")
    assert "projection.weight" in official
    torch.save(official, tmp_path / "checkpoint.pth")
    options = {"task": task, "n_heads": 2}
    meta = convert_file("itransformer", tmp_path / "checkpoint.pth", tmp_path / "ours.safetensors", **options)
    assert meta["model"] == small | {"task": task}
    load_strictly(cls(**small), load(tmp_path / "ours.safetensors"))
    load_strictly(cls(**small), load(tmp_path / "checkpoint.pth"))
    files = (tmp_path / "ours.safetensors", tmp_path / "back.pth")
    convert_file("itransformer", *files, to_official=True, head="projection")
    back = load(tmp_path / "back.pth")
    assert back.keys() == official.keys()
    assert all(torch.equal(value, back[key]) for key, value in official.items())


def test_a_classifier_shows_by_its_shapes_and_keeps_the_name_of_its_last_layer():
    cls, sizes = TASK_MODELS["classification"]
    state = cls(seq_len=24, d_model=16, n_heads=2, d_ff=24, **sizes).state_dict()
    official = to_official(state)
    assert "projection.weight" in official
    assert infer_config(official)["model"].items() >= {"task": "classification", **sizes}.items()


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        ({}, {"attention": "LSHAttention"}, "the weights are of FullAttention or ProbSparseAttention or"),
        (
            {"attention": LSH},
            {"attention": "FlowAttention"},
            "attention='FlowAttention': the weights are of LSHAttention",
        ),
        ({}, {"factor": 3}, "factor=3 is an argument of attention=ProbSparseAttention"),
        ({}, {"factor": 0, "attention": "ProbSparseAttention"}, "factor=0 is not positive"),
        ({}, {"task": "imputing"}, "task='imputing' is not one of"),
        ({}, {"task": "imputation", "use_norm": True}, "use_norm=True has no meaning"),
    ],
)
def test_options_that_the_keys_contradict_are_refused(state, options, message):
    with pytest.raises(ValueError, match=message):
        infer_config(small_official(**state), **options)


def test_options_that_mean_nothing_to_a_baseline_are_refused():
    official = to_official(TemporalTransformer(24, 12, 8, enc_in=3, d_model=16, n_heads=2).state_dict())
    with pytest.raises(ValueError, match="a model over time tokens, for which use_norm=True and task='imputation' has"):
        infer_config(official, use_norm=True, task="imputation")


LAYER = "encoder.attn_layers.0."
LSH_KEYS = [key for key in small_official(attention=LSH) if ".attention." in key]


def without(state: dict, prefix: str) -> dict:
    return {key: value for key, value in state.items() if not key.startswith(prefix)}


def refused(tmp_path: Path, state: dict, **options) -> dict[str, list[str]]:
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointMismatchError) as caught:
        convert_file("itransformer", tmp_path / "odd.pth", tmp_path / "out.safetensors", **options)
    assert str(caught.value).startswith(f"{tmp_path / 'odd.pth'} does not fit")
    assert not (tmp_path / "out.safetensors").exists()
    return caught.value.problems


@pytest.mark.parametrize(
    ("variant", "key"),
    [(None, key) for key in small_official()] + [(LSH, key) for key in LSH_KEYS],
)
def test_a_file_without_one_of_its_keys_is_not_converted(tmp_path, variant, key):
    problems = refused(tmp_path, without(small_official(attention=variant), key))
    assert list(problems) == ["not in the file"]
    assert any(line.endswith(key) for line in problems["not in the file"])
    assert len(problems["not in the file"]) == 1


@pytest.mark.parametrize(
    ("variant", "key"),
    [(None, key) for key in without(small_official(), "enc_embedding.value_embedding.weight")]
    + [(LSH, key) for key in LSH_KEYS],
)
def test_a_key_of_another_shape_is_not_converted(tmp_path, variant, key):
    state = small_official(attention=variant)
    state[key] = torch.cat([state[key], state[key][:1]])
    (line,) = refused(tmp_path, state)["wrong shape"]
    right, wrong = from_official(small_official(attention=variant)), from_official(state)
    (changed,) = (name for name in right if right[name].shape != wrong[name].shape)
    assert line.startswith(changed.rpartition(".")[0])  # of a weight and its bias either may be the wrong one


def test_a_file_without_its_first_layer_is_not_converted(tmp_path):
    missing = refused(tmp_path, without(small_official(), LAYER))["not in the file"]
    assert len(missing) == 12
    assert any(line.endswith(f"made from {LAYER}conv2.bias") for line in missing)
    ours = without(from_official(small_official()), "backbone.layers.0.")
    assert len(refused(tmp_path, ours)["not in the file"]) == 12
    assert len(refused(tmp_path, ours, to_official=True)["not in the file"]) == 12


def test_a_layer_of_a_huge_number_costs_no_time(tmp_path):
    state = small_official()
    state["encoder.attn_layers.999999999.norm1.bias"] = torch.zeros(16)
    assert "backbone.layers.999999999.norm1.bias" in refused(tmp_path, state)["not in the model"]


def test_tensors_without_axes_are_refused_by_name(tmp_path):
    problems = refused(tmp_path, {key: torch.tensor(1.0) for key in from_official(small_official())})
    assert len(problems["wrong shape"]) == len(from_official(small_official()))


@pytest.mark.filterwarnings("ignore:d_model=10 is no multiple")
@pytest.mark.parametrize(("d_model", "n_heads"), [(16, 2), (10, 4)])
def test_the_target_has_the_sizes_of_a_file_in_either_layout(d_model, n_heads):
    state = ITransformer(**(SMALL | {"d_model": d_model, "n_heads": n_heads})).state_dict()
    shapes = {key: value.shape for key, value in state.items()}
    for layout in (state, to_official(state)):
        assert {key: value.shape for key, value in target(layout).state_dict().items()} == shapes
        assert all(value.is_meta for value in target(layout).state_dict().values())


def test_a_tslib_file_gets_its_own_name_of_the_last_layer_back(tmp_path):
    tslib = {key.replace("projector", "projection"): value for key, value in small_official().items()}
    torch.save(tslib, tmp_path / "checkpoint.pth")
    convert_file("itransformer", tmp_path / "checkpoint.pth", tmp_path / "ours.safetensors")
    convert_file("itransformer", tmp_path / "ours.safetensors", tmp_path / "b.pth", to_official=True, head="projection")
    back = load(tmp_path / "b.pth")
    assert back.keys() == tslib.keys()
    assert all(torch.equal(back[key], value) for key, value in tslib.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_head": 2}, "no option 'n_head'"), ({"n_heads": "x"}, "n_heads='x'"), ({"n_heads": 0}, "n_heads=0 is not")],
)
def test_options_that_do_not_exist_or_fit_are_refused(tmp_path, options, message):
    torch.save(small_official(), tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match=message):
        convert_file("itransformer", tmp_path / "checkpoint.pth", tmp_path / "ours.safetensors", **options)
    with pytest.raises(TypeError, match="unexpected keyword argument"):  # what StrictLoadHook's options reach
        from_official(small_official(), **options)


@pytest.mark.parametrize(
    ("option", "fault"),
    [("nope=3", "there is no option 'nope' here"), ("n_heads=abc", "n_heads='abc' is not of its type")],
)
def test_the_command_says_in_one_line_which_options_there_are(tmp_path, monkeypatch, option, fault):
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")  # what the command sets ends with the test
    torch.save(small_official(), tmp_path / "a.pth")
    files = [str(tmp_path / "a.pth"), str(tmp_path / "b.safetensors")]
    result = CliRunner().invoke(main, ["convert", "itransformer", *files, "-o", option])
    assert result.exit_code == 1
    options = "attention (str), factor (int), n_heads (int), task (str), use_norm (true or false)"
    assert result.output == f"Error: {fault}; known options: {options}\n"
