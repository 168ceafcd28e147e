"""Cached features: the same training without the encoder, and no stale file is ever used."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample

from mm_meta_transformer import feature_cache
from mm_meta_transformer.datasets.cached_features import CachedFeatures
from mm_meta_transformer.feature_cache import FeatureCacheHook, inputs_key, weights_key
from mmrepro import papers
from mmrepro.engine.errors import UserError
from mmrepro.testing import load_config, tiny

COUNT = 12
RARE = 4 * 8 + COUNT + 12  # readings of the four samples that are tried, of all, and some of the next ones


@DATASETS.register_module(name="meta_cache_pictures", force=True)
class Pictures(BaseDataset):
    """Pictures of noise that depend on their label."""

    def __init__(self, scale=1.0, jitter=0.0, rare=0, relabel=0):
        self.scale, self.jitter, self.rare, self.relabel, self.readings = scale, jitter, rare, relabel, 0
        super().__init__(pipeline=[], serialize_data=False)

    def load_data_list(self):
        return [dict(gt_label=at % 3) for at in range(COUNT)]

    def __getitem__(self, index):
        self.readings += 1
        if self.readings == self.rare:
            index += 1
        draw = torch.Generator().manual_seed(index)
        picture = self.scale * (index % 3 + torch.randn(3, 8, 8, generator=draw)) + self.jitter * torch.rand(1)
        return {"inputs": picture, "data_samples": DataSample().set_gt_label((index + self.relabel) % 3)}


MODEL = dict(
    type="FrozenFeatureClassifier",
    tokenizer=dict(type="ImageTokenizer", img_size=8, patch_size=4, dropout=0.5),
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2)),
    encoder_norm=1e-6,
    head=dict(type="MetaLinearHead", num_classes=3, dropout=0.2),
)


def loader(dataset, batch_size=4, shuffle=False):
    return dict(
        batch_size=batch_size, num_workers=0, dataset=dataset, sampler=dict(type="DefaultSampler", shuffle=shuffle)
    )


class Calls:
    """Counts what the encoder encodes."""

    def __init__(self, model):
        self.tokens = 0
        model.encoder.register_forward_hook(self.count)

    def count(self, module, inputs, output):
        self.tokens += inputs[0].shape[0]


@pytest.fixture
def bring(tmp_path):
    """Return a function that brings features as a run's start does: model and data in, the data set and calls out."""

    def run(model_changes=(), weights=None, preprocessor=None, **data):
        torch.manual_seed(0)
        config = copy.deepcopy(MODEL) | dict(model_changes)
        model = MODELS.build(config if preprocessor is None else config | dict(data_preprocessor=preprocessor))
        if weights is not None:
            weights(model)
        dataset = DATASETS.build(dict(type="CachedFeatures", dataset=dict(type="meta_cache_pictures", **data)))
        batches = SimpleNamespace(dataset=dataset, num_workers=0, batch_sampler=SimpleNamespace(batch_size=5))
        cfg = Config(dict(model=config, data_preprocessor=preprocessor))  # a runner adds it to its copy of the model's
        runner = SimpleNamespace(model=model, cfg=cfg, train_loop=SimpleNamespace(dataloader=batches), val_loop=None)
        calls = Calls(model)
        before = torch.get_rng_state()
        FeatureCacheHook(str(tmp_path)).before_train(runner)
        assert torch.equal(torch.get_rng_state(), before)  # the pictures draw numbers
        return model, dataset, calls.tokens

    return run


def train(tmp_path, cached):
    dataset = dict(type="meta_cache_pictures")
    cfg = Config(
        dict(
            model=copy.deepcopy(MODEL),
            work_dir=str(tmp_path / str(cached)),
            train_dataloader=loader(dict(type="CachedFeatures", dataset=dataset) if cached else dataset, shuffle=True),
            train_cfg=dict(type="ResumableEpochLoop", max_epochs=3),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            custom_hooks=[dict(type="FeatureCacheHook", folder=str(tmp_path / "features"))] if cached else [],
            default_hooks=dict(checkpoint=None, logger=None),
            default_scope="mmpretrain",
            randomness=dict(seed=0),
            log_level="ERROR",
            experiment_name=f"cached_{cached}_{tmp_path.name}",
        )
    )
    runner = Runner.from_cfg(cfg)
    calls = Calls(runner.model)
    runner.train()
    return runner.model, calls.tokens


def test_training_on_cached_features_is_the_same_and_encodes_each_sample_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "_log_env", lambda self, env: None)  # it asks compilers and git
    plain, every_epoch = train(tmp_path, cached=False)
    cached, once = train(tmp_path, cached=True)
    assert (every_epoch, once) == (3 * COUNT, COUNT)
    for (name, one), other in zip(plain.named_parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(other, one, msg=lambda text, name=name: f"{name}: {text}")
    start = MODELS.build(copy.deepcopy(MODEL))
    assert (cached.head.fc.weight != start.head.fc.weight).any()


def frozen_digits(tmp_path, name, cached=True):
    """Return a runner of the small version of the config, and its calls of the encoder."""
    config = tiny(load_config(papers.find_config("meta_transformer", "meta-transformer_frozen-features_digits")))
    config.pop("tiny")
    config = Config(config.to_dict(), format_python_code=False)  # each of the many times that a runner writes it down
    hooks = [hook for hook in config.custom_hooks if hook["type"] != "FeatureCacheHook"]
    config.custom_hooks = hooks + [dict(type="FeatureCacheHook", folder=str(tmp_path / "features"))] * cached
    config.merge_from_dict(
        {
            "train_cfg": dict(max_epochs=2, val_interval=1),
            "default_hooks.checkpoint.save_best": None,
            "optim_wrapper.optimizer.lr": 0.05,
            "work_dir": str(tmp_path / name),
            "experiment_name": f"{name}_{tmp_path.name}",
            "log_level": "ERROR",
        }
    )
    runner = Runner.from_cfg(config)
    return runner, Calls(runner.model)


def test_the_recipe_trains_and_tests_as_it_does_without_the_hook(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "_log_env", lambda self, env: None)  # it asks compilers and git
    plain, _ = frozen_digits(tmp_path, "plain", cached=False)
    plain.train()
    expected = plain.test()
    runner, calls = frozen_digits(tmp_path, "first")
    runner.train()
    train, test = len(runner.train_dataloader.dataset), len(runner.val_dataloader.dataset)
    assert calls.tokens == train + test
    assert runner.test() == expected
    for name, one in runner.model.named_parameters():
        torch.testing.assert_close(one, plain.model.get_parameter(name))
    first = [
        min(len(one.dataset), one.batch_sampler.batch_size) for one in (runner.train_dataloader, runner.val_dataloader)
    ]
    assert calls.tokens == train + test + first[1]  # the test data are the validation's
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2
    runner, calls = frozen_digits(tmp_path, "second")
    runner.train()
    assert calls.tokens == sum(first)
    runner, calls = frozen_digits(tmp_path, "third")
    runner.model.load_state_dict(plain.model.state_dict())
    assert runner.val() == expected
    assert calls.tokens == first[1]
    runner.val()
    assert calls.tokens == first[1]  # the data set has them


def test_items_are_features_of_the_samples(bring):
    model, dataset, encoded = bring()
    assert encoded == COUNT
    items = [dataset[at] for at in range(COUNT)]
    expected = model.extract_feat(torch.stack([dataset.dataset[at]["inputs"] for at in range(COUNT)]))
    features = torch.stack([item["inputs"].features for item in items])
    torch.testing.assert_close(features, expected)
    assert [int(item["data_samples"].gt_label) for item in items] == [at % 3 for at in range(COUNT)]
    items[0]["data_samples"].set_pred_label(1)
    assert "pred_label" not in dataset[0]["data_samples"]
    assert len(dataset) == COUNT
    dataset.forget()
    assert dataset[0]["inputs"].shape == (3, 8, 8)


def test_a_second_run_reads_the_file(bring, tmp_path):
    _, first, _ = bring()
    _, second, encoded = bring()
    assert encoded == 5  # the first batch, to compare
    torch.testing.assert_close(second[7]["inputs"].features, first[7]["inputs"].features, rtol=0, atol=0)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    _, _, encoded = bring(model_changes=dict(head=dict(type="MetaLinearHead", num_classes=5)))
    assert encoded == 5  # the head has no say in it


def _other_weights(model):
    model.encoder.blocks[1].mlp.fc2.bias.data[3] += 1e-3


@pytest.mark.parametrize(
    "changed",
    [
        dict(scale=1.0001),  # data or transform: other inputs
        dict(weights=_other_weights),
        dict(model_changes=dict(pooling="mean")),
    ],
)
def test_whatever_changes_makes_the_file_count_no_more(bring, changed):
    bring()
    model, dataset, encoded = bring(**changed)
    assert encoded >= COUNT
    expected = model.extract_feat(torch.stack([dataset.dataset[at]["inputs"] for at in range(COUNT)]))
    torch.testing.assert_close(torch.stack([dataset[at]["inputs"].features for at in range(COUNT)]), expected)


@pytest.mark.parametrize("std", [127.6, 60.0])
def test_another_preprocessor_beside_the_model_makes_another_file(bring, tmp_path, std):
    bring(preprocessor=dict(type="ImgDataPreprocessor", mean=(1.0,), std=(127.5,)))
    _, _, encoded = bring(preprocessor=dict(type="ImgDataPreprocessor", mean=(1.0,), std=(std,)))
    assert encoded == COUNT
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_keys_know_what_no_checkpoint_and_what_no_buffer_shows():
    preprocessor = dict(type="ImgDataPreprocessor", mean=(1.0,), std=(2.0,))
    model = MODELS.build(MODEL | dict(data_preprocessor=preprocessor))
    before = weights_key(model, "")
    model.data_preprocessor.preprocessor.std.add_(1)
    assert weights_key(model, "") != before
    channels = [SimpleNamespace(cfg=Config(dict(model={}, data_preprocessor=dict(to_rgb=to)))) for to in (True, False)]
    assert len({feature_cache._config_text(one) for one in channels}) == 2


def test_labels_are_read_anew(bring, tmp_path):
    bring()
    _, dataset, encoded = bring(relabel=1)
    assert encoded == 5  # the inputs are the same, and so is the file
    assert len(list(tmp_path.glob("*.npy"))) == 1
    assert [int(dataset[at]["data_samples"].gt_label) for at in range(COUNT)] == [(at + 1) % 3 for at in range(COUNT)]


def test_a_file_has_the_features_of_the_inputs_in_its_name(bring):
    """A step that is rarely random may be missed, and then shows in the second reading of all samples alone."""
    bring()
    bring(scale=2, rare=RARE)
    model, dataset, _ = bring(scale=2)
    expected = model.extract_feat(torch.stack([dataset.dataset[at]["inputs"] for at in range(COUNT)]))
    torch.testing.assert_close(torch.stack([dataset[at]["inputs"].features for at in range(COUNT)]), expected)


def test_files_that_differ_by_less_than_the_samples_do_are_computed_again(bring, tmp_path):
    """All features are near to each other here: a file is compared with what tells them apart."""
    _, dataset, _ = bring(scale=1e-3)
    good = np.stack([dataset[at]["inputs"].features for at in range(COUNT)])
    (path,) = tmp_path.glob("*.npy")
    wrong = good + 0.01 * good.std(0)
    assert np.allclose(wrong, good, rtol=0, atol=1e-3 * np.abs(good).max())
    np.save(path, wrong)
    _, again, encoded = bring(scale=1e-3)
    assert encoded > 5
    torch.testing.assert_close(again[7]["inputs"].features, torch.from_numpy(good[7]))


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_computed_again(bring, tmp_path, damage):
    _, good, _ = bring()
    expected = good[2]["inputs"].features
    (path,) = tmp_path.glob("*.npy")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        np.save(path, np.zeros((COUNT, 16), np.float32))
    _, again, encoded = bring()
    assert encoded >= COUNT
    torch.testing.assert_close(again[2]["inputs"].features, expected)


def test_random_pipelines_are_refused(bring):
    with pytest.raises(UserError, match="sample 0 differs when it is read again"):
        bring(jitter=1.0)
    with pytest.raises(UserError, match="sample 0 differs when it is read again"):
        bring(rare=7)


def test_the_other_processes_learn_that_the_first_one_failed(bring, monkeypatch):
    told = []
    monkeypatch.setattr(feature_cache, "broadcast_object_list", told.extend)
    with pytest.raises(UserError):
        bring(jitter=1.0)
    (text,) = told
    monkeypatch.setattr(feature_cache, "broadcast_object_list", lambda given: given.__setitem__(0, text))
    monkeypatch.setattr(feature_cache, "is_main_process", lambda: False)
    with pytest.raises(UserError, match="the first process has no features: UserError: sample 0 differs"):
        bring()


def test_only_the_head_is_trained():
    model = MODELS.build(copy.deepcopy(MODEL)).train()
    assert {name for name, one in model.named_parameters() if one.requires_grad} == {"head.fc.weight", "head.fc.bias"}
    assert model.training
    assert model.head.dropout.training
    assert not model.tokenizer.training
    assert not model.encoder_norm.training


def test_wrong_models_and_data_are_named(tmp_path):
    hook = FeatureCacheHook(str(tmp_path))
    plain = DATASETS.build(dict(type="meta_cache_pictures"))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=plain))
    with pytest.raises(UserError, match="no CachedFeatures"):
        hook.before_train(SimpleNamespace(train_loop=loop))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=CachedFeatures(plain)))
    with pytest.raises(UserError, match="Linear has no frozen features"):
        hook.before_train(SimpleNamespace(train_loop=loop, model=torch.nn.Linear(1, 1)))


def test_keys_know_names_types_sizes_and_values():
    base = {"a": torch.arange(4.0), "b": [torch.ones(2, dtype=torch.bool), "text"]}
    others = [
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"].double(), "b": base["b"]},
        {"a": base["a"].reshape(2, 2), "b": base["b"]},
        {"a": base["a"] + 1e-6, "b": base["b"]},
        {"a": base["a"], "b": [base["b"][0], "other"]},
    ]
    assert inputs_key(base) == inputs_key(copy.deepcopy(base))
    assert len({inputs_key(one) for one in (base, *others)}) == 6
