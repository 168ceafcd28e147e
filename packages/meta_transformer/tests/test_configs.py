"""What the configs of classification and forecasting say: the official recipes, the stated sizes, the metafile's facts.

Those of dense prediction are in test_dense_configs.py.
"""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmpretrain.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS

from mm_meta_transformer.inferencer import MODALITIES
from mmrepro.reproduction import profiles
from mmrepro.testing import load_config

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" / "meta_transformer"
METAFILE = yaml.safe_load((CONFIGS / "metafile.yml").read_text("utf-8"))
DATA_SETS = yaml.safe_load((PACKAGE / "data-sets.yml").read_text("utf-8"))
ROWS = {model["Name"]: model for model in METAFILE["Models"]}
PIXELS = "meta-transformer_base_1xb64_indian-pines"
AUDIO = "meta-transformer_base_frozen_4xb32-200e_speechcommands-224mel"
ETTH1 = "meta-transformer_base_frozen_1xb32-10e_etth1-96to96"
XRAY = "meta-transformer_base_chest-xray"
VIDEO = "meta-transformer_base_k400-16x4"
GRAPH = "meta-transformer_base_pcqm4mv2"
PHOTOGRAPHS = "meta-transformer_base_16xb64_in1k"
# optimizer, rate, decay, batch, epochs, largest norm of the gradient: official code at b08a2be
ADAM, ADAMW = "Adam", "AdamW"
RECIPES = {
    PIXELS: (ADAM, 5e-4, 0, 64, 300, None),
    ETTH1: (ADAM, 1e-4, 0, 32, 10, None),
    "meta-transformer_base_frozen_1xb32-3e_traffic-96to720": (ADAM, 1e-4, 0, 32, 3, None),
    "meta-transformer_base_frozen_1xb32-3e_weather-96to96": (ADAM, 1e-4, 0, 32, 3, None),
    "meta-transformer_base_frozen_1xb32-1e_exchange-96to336": (ADAM, 1e-4, 0, 32, 1, None),
    AUDIO: (ADAM, 2e-4, 5e-7, 128, 200, None),
    "meta-transformer_base_adult": (ADAM, 1e-3, 0, 128, 200, None),
    "meta-transformer_base_bank": (ADAM, 1e-3, 0, 128, 200, None),
    XRAY: (ADAM, 5e-4, 0, 64, 10, None),
    VIDEO: (ADAMW, 7e-4 * 48 / 256, 0.05, 96, 90, None),
    GRAPH: (ADAMW, 2e-4, 0.1, 128, None, 5.0),
    "meta-transformer_base_1xb32-300e_modelnet40-1024": (ADAMW, 5e-4, 0.05, 32, 300, 1.0),
    "meta-transformer_base_1xb32-300e_scanobjectnn": (ADAMW, 5e-4, 0.05, 32, 300, 10.0),
    "meta-transformer_base_1xb8-600e_s3dis-area5": (ADAMW, 1e-4, 1e-4, 8, 600, 10.0),
    "meta-transformer_base_8xb2-600e_scannet": (ADAMW, 5e-4, 1e-4, 16, 600, 10.0),
    "meta-transformer_base_4xb8-300e_shapenetpart": (ADAMW, 5e-4, 1e-4, 32, 300, 1.0),
}
# All parameters and the trained ones of the official models, in millions, and what of them is never read: for audio two
# tokens, one of them trained, and a head for 1,000 classes; for graphs a pooler and a norm; for X-ray 998 outputs.
MEASURED = {
    PIXELS: (85.225, 0.171, 0, 0),
    ETTH1: (92.978, 7.923, 0, 0),
    "meta-transformer_base_frozen_1xb32-10e_exchange-96to720": (92.983, 7.929, 0, 0),
    "meta-transformer_base_frozen_1xb32-3e_weather-96to96": (93.053, 7.998, 0, 0),
    "meta-transformer_base_frozen_1xb32-3e_traffic-96to720": (97.575, 12.521, 0, 0),
    AUDIO: (86.949, 1.123, 2 * 768 + 1000 * 769, 768),
    "meta-transformer_base_adult": (85.438, 0.383, 0, 0),
    GRAPH: (90.987, 1.183, 590_592 + 1_536, 590_592),
    XRAY: (86.568, 1.513, 998 * 769, 998 * 769),
    VIDEO: (86.535, 86.535, 0, 0),
    "meta-transformer_base_1xb32-300e_modelnet40-1024": (86.515, 1.460, 0, 0),
    "meta-transformer_base_1xb32-300e_scanobjectnn": (89.761, 4.707, 0, 0),
    "meta-transformer_base_1xb8-600e_s3dis-area5": (93.889, 8.834, 0, 0),
    "meta-transformer_base_4xb8-300e_shapenetpart": (94.145, 9.091, 0, 0),
}


def config_of(name: str) -> Config:
    """Return a config without importing what it names: mmdetection and mmsegmentation take long."""
    return Config.fromfile(CONFIGS / f"{name}.py", import_custom_modules=False)


def head_of(name: str) -> str:
    """Return the comment at a config's head as one line."""
    text = (CONFIGS / f"{name}.py").read_text("utf-8").split("\n_base_ = ")[0]
    return " ".join(line.lstrip("# ") for line in text.splitlines())


def rates(config: Config) -> list[float]:
    """Return the rate of each epoch."""
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.optim_wrapper.optimizer.lr)
    said = config.param_scheduler if isinstance(config.param_scheduler, list) else [config.param_scheduler]
    schedules = [PARAM_SCHEDULERS.build({**one, "optimizer": sgd}) for one in said]
    found = []
    for _ in range(config.train_cfg.max_epochs):
        found.append(sgd.param_groups[0]["lr"])
        sgd.step()
        for schedule in schedules:
            schedule.step()
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_is_the_official_one(name):
    config = config_of(name)
    optimizer, rate, decay, batch, epochs, clip = RECIPES[name]
    found = config.optim_wrapper.optimizer
    assert (found.type, found.lr, found.get("weight_decay", 0)) == (optimizer, pytest.approx(rate), decay)
    assert config.auto_scale_lr.base_batch_size == batch
    assert config.train_cfg.get("max_epochs") == epochs
    assert config.optim_wrapper.get("clip_grad", {}).get("max_norm") == clip


def test_the_batch_of_a_name_is_that_of_the_config():
    named = {name: re.search(r"_(\d+)xb(\d+)[-_]", name) for name in ROWS}
    for name, found in named.items():
        if found:
            config = config_of(name)
            gpus, batch = int(found[1]), int(found[2])
            assert (batch, gpus * batch) == (config.train_dataloader.batch_size, config.auto_scale_lr.base_batch_size)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        (PIXELS, lambda epoch: 0.9 ** ((epoch + 1) // 30)),  # stepped before each epoch
        (AUDIO, lambda epoch: 0.85 ** max(0, epoch - 4)),
        (ETTH1, lambda epoch: 0.5 ** max(0, epoch - 1)),
        ("meta-transformer_base_4xb8-300e_shapenetpart", lambda epoch: 0.1 ** ((epoch >= 210) + (epoch >= 270))),
    ],
    ids=["pixels", "audio", "series", "parts"],
)
def test_the_learning_rate_falls_where_the_official_one_does(name, share):
    config = config_of(name)
    first = config.optim_wrapper.optimizer.lr
    expected = [first * share(epoch) for epoch in range(config.train_cfg.max_epochs)]
    assert rates(config) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", [VIDEO, PHOTOGRAPHS])
def test_each_layer_anneals_to_a_share_of_its_own_rate(name):
    warm, fall = config_of(name).param_scheduler
    assert (warm.end, fall.begin) == (5, 5)
    groups = [dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=rate) for rate in (1e-3, 3e-6)]
    sgd = torch.optim.SGD(groups, lr=1e-3)
    fall = dict(fall, optimizer=sgd, begin=0, end=10, T_max=9)
    fall.pop("convert_to_iter_based")
    schedule = PARAM_SCHEDULERS.build(fall)
    for _ in range(9):
        sgd.step()
        schedule.step()
    share = 1e-6 / (7e-4 if name == VIDEO else 1e-3)  # of the official rate for 256 clips
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([1e-3 * share, 3e-6 * share])


def test_class_token_and_positions_of_photographs_do_not_decay():
    config = config_of(PHOTOGRAPHS)
    model = dict(config.model, encoder=dict(type="MetaTransformerEncoder", arch="base", frozen=False))
    with torch.device("meta"):
        built = MODELS.build(model)
    wrapper = dict(config.optim_wrapper)
    kind, paramwise = wrapper.pop("constructor"), wrapper.pop("paramwise_cfg")
    constructor = dict(type=kind, paramwise_cfg=paramwise, optim_wrapper_cfg=wrapper)
    found = OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(built)
    decay = {group["param_name"]: group["weight_decay"] for group in found.optimizer.param_groups}
    assert {"tokenizer.cls_token", "tokenizer.pos_embed"} <= {name for name, value in decay.items() if value == 0}
    assert decay["tokenizer.patch_embed.proj.weight"] == decay["encoder.blocks.3.mlp.fc1.weight"] == 0.05


def test_what_the_official_scripts_set_besides():
    assert config_of(AUDIO).optim_wrapper.optimizer.betas == (0.95, 0.999)
    series = config_of(ETTH1)
    (stop,) = (hook for hook in series.custom_hooks if hook.type == "ResumableEarlyStoppingHook")
    assert (stop.monitor, stop.patience, series.randomness.seed) == ("mse", 3, 2021)
    table = config_of("meta-transformer_base_adult")
    (stop,) = (hook for hook in table.custom_hooks if hook.type == "ResumableEarlyStoppingHook")
    assert (stop.patience, table.param_scheduler[0].patience, table.param_scheduler[0].factor) == (30, 10, 0.1)
    assert "param_scheduler" not in config_of(XRAY)
    assert config_of(VIDEO).optim_wrapper.paramwise_cfg.layer_decay_rate == 0.75
    graph = config_of(GRAPH)
    warm, fall = graph.param_scheduler
    assert (warm.end, fall.end, fall.eta_min) == (60_000, graph.train_cfg.max_iters, 1e-9)
    assert graph.train_cfg.max_iters == 1_000_000


@pytest.mark.parametrize("name", sorted(name for name in ROWS if "adapter" not in name and "-96to192" not in name))
def test_a_model_has_the_sizes_of_its_row_and_of_the_official_one(name):
    facts = ROWS[name]["Metadata"]
    with torch.device("meta"):
        model = MODELS.build(load_config(CONFIGS / f"{name}.py").model)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    total, trained = sum(size for size, _ in sizes), sum(size for size, is_trained in sizes if is_trained)
    assert (total, trained) == (facts["Parameters"], facts["Trainable Parameters"])
    if name in MEASURED:
        millions, trained_millions, unread, unread_trained = MEASURED[name]
        official = (total + unread) / 1e6, (trained + unread_trained) / 1e6
        assert official == pytest.approx((millions, trained_millions), abs=6e-4)


@pytest.mark.parametrize("name", [PIXELS, ETTH1, XRAY, "meta-transformer_base_frozen_ucf101-16x4"])
def test_what_is_frozen_is_the_encoder_alone(name):
    with torch.device("meta"):
        model = MODELS.build(load_config(CONFIGS / f"{name}.py").model)
    frozen = {key.split(".")[0] for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"encoder"}


@pytest.mark.parametrize(("arch", "millions"), [("base", 85.054), ("large", 302.309)])
def test_the_shared_encoder_has_the_published_size(arch, millions):
    with torch.device("meta"):
        encoder = MODELS.build(dict(type="MetaTransformerEncoder", arch=arch))
    assert sum(one.numel() for one in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=6e-4)
    assert not any(one.requires_grad for one in encoder.parameters())


@pytest.mark.parametrize("name", ROWS)
def test_the_metafile_says_what_the_config_does(name):
    config, facts = config_of(name), ROWS[name]["Metadata"]
    (result,) = ROWS[name]["Results"]
    assert facts.get("Epochs", config.train_cfg.get("max_epochs")) == config.train_cfg.get("max_epochs")
    assert facts.get("Iterations", config.train_cfg.get("max_iters")) == config.train_cfg.get("max_iters")
    assert facts["Batch Size"] == config.auto_scale_lr.base_batch_size
    assert result["Seeds"][0] == config.randomness.seed
    part = config.model.get("encoder") or config.model.backbone
    file = Path(part.init_cfg.checkpoint).name
    (weights,) = (data for data in result["Data"] if data.startswith("meta-transformer-"))
    assert DATA_SETS[weights]["files"] == [dict(path="checkpoints", pictures=1, ending=file)]


@pytest.mark.parametrize("name", sorted(name for name, row in ROWS.items() if row["Results"][0]["Metrics"]))
def test_the_head_of_a_row_has_the_reported_number(name):
    (result,) = ROWS[name]["Results"]
    head = head_of(name)
    for number in result["Metrics"].values():
        assert re.search(rf"\b{re.escape(f'{number:g}')}\.?0*\b", head), (number, head)
    assert bool(re.search(r"unverified|from memory", head)) == result.get("Unverified", False), head


@pytest.mark.parametrize("average", METAFILE["Averages"], ids=lambda average: average["Name"])
def test_the_heads_of_an_average_have_the_reported_number(average):
    assert len(average["Of"]) == 4
    for name in average["Of"]:
        assert f"MAE {average['Metrics']['MAE']:.3f}" in head_of(name)


def test_the_smoke_profile_has_a_training_of_each_modality():
    found = profiles.members("meta_transformer", "smoke")
    assert len(found) == len({member.subject for member in found}) == 12
    assert {member.file.stem for member in found} == {f"smoke_{modality}" for modality in MODALITIES}
