"""One model of several modalities: shared encoder, missing modalities, mixed and alternating batches."""

import copy
from itertools import chain

import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.model import BaseModule
from mmpretrain.registry import DATASETS, METRICS, MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mm_meta_transformer.datasets import alternating_batches
from mm_meta_transformer.datasets.alternating_batches import AlternatingBatchSampler
from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.task_mixture import TaskMixture
from mm_meta_transformer.models.data_preprocessor import SampleDataPreprocessor
from mm_meta_transformer.models.unified_preprocessor import collate_as_lists
from mm_meta_transformer.tokenizers.tokens import Tokens

SIZES = {"sight": 3, "sound": 5, "touch": 2}  # channels of a token


@MODELS.register_module(name="meta_unified_tokenizer", force=True)
class Tokenizer(BaseModule):
    """Rows to tokens, with a class token; padding of a dict's rows is respected."""

    def __init__(self, channels, embed_dims):
        super().__init__()
        self.project = nn.Linear(channels, embed_dims)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims))

    def forward(self, inputs):
        rows, padding = (inputs["rows"], inputs.get("padding")) if isinstance(inputs, dict) else (inputs, None)
        tokens = torch.cat((self.cls_token.expand(len(rows), -1, -1), self.project(rows)), 1)
        if padding is not None:
            padding = torch.cat((padding.new_zeros(len(padding), 1), padding), 1)
        return Tokens(tokens, padding, {"prefix": 1})


@DATASETS.register_module(name="meta_unified_rows", force=True)
class Rows(BaseDataset):
    """Samples whose rows are their label, with a little noise; "touch" has a dict of rows of different lengths."""

    def __init__(self, modality, count, classes=2):
        self.modality, self.count, self.classes = modality, count, classes
        super().__init__(pipeline=[], metainfo=dict(classes=tuple("abc"[:classes])), serialize_data=False)

    def load_data_list(self):
        return [dict(gt_label=at % self.classes, at=at) for at in range(self.count)]

    def __getitem__(self, index):
        info = self.get_data_info(index)
        draw = torch.Generator().manual_seed(index)
        length = 2 + index % 3 if self.modality == "touch" else 4
        rows = info["gt_label"] + 0.1 * torch.randn(length, SIZES[self.modality], generator=draw)
        sample = DataSample(metainfo=dict(at=index)).set_gt_label(info["gt_label"])
        return {"inputs": {"rows": rows} if self.modality == "touch" else rows, "data_samples": sample}


@MODELS.register_module(name="meta_unified_mixing", force=True)
class Mixing(SampleDataPreprocessor):
    """Mixes labels in training, as mixup does."""

    def forward(self, data, training=False):
        for sample in data["data_samples"] if training else ():
            sample.set_gt_score(torch.tensor([0.5, 0.5]))
        return super().forward(data, training)


def classifier(modality, **more):
    return dict(
        type="MetaTransformerClassifier",
        tokenizer=dict(type="meta_unified_tokenizer", channels=SIZES[modality]),
        head=dict(type="MetaLinearHead", num_classes=2),
        **more,
    )


CONFIG = dict(
    type="MetaTransformerUnified",
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2)),
    models=dict(
        sight=classifier("sight"),
        sound=classifier("sound", pooling="mean"),
        touch=classifier("touch", data_preprocessor=dict(type="SampleDataPreprocessor", pad=dict(rows=0))),
    ),
    fused=dict(both=dict(type="MetaLinearHead", num_classes=2)),
)
PAIRS = dict(
    type="PairedModalities",
    datasets={name: dict(type="meta_unified_rows", modality=name, count=6) for name in ("sight", "sound")},
)


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(CONFIG) | changes)


def rows(modality, count=6):
    return DATASETS.build(dict(type="meta_unified_rows", modality=modality, count=count))


def item(label=0, task=None, **modalities):
    meta = {} if task is None else dict(task=task)
    inputs = {name: rows(name)[at]["inputs"] for name, at in modalities.items()}
    return {"inputs": inputs, "data_samples": DataSample(metainfo=meta).set_gt_label(label)}


def collated(model, items):
    return model.data_preprocessor(collate_as_lists(items))


MIXED = (
    dict(sight=0, label=0),
    dict(touch=1, label=1),
    dict(task="both", sight=2, sound=2, label=0),
    dict(touch=2, label=0),
    dict(task="both", sound=3, label=1),
    dict(sound=5, label=1),
)


def mixed():
    return [item(**one) for one in MIXED]


def test_the_encoder_is_one_and_is_stored_once():
    model = build()
    assert all(part.encoder is model.encoder for part in model.models.values())
    assert [key for key in model.state_dict() if ".encoder." in key] == []
    assert any(key.startswith("encoder.blocks.0") for key in model.state_dict())
    other = copy.deepcopy(model)
    assert other.models["sight"].encoder is other.encoder is not model.encoder
    model.train()
    assert not model.models["sight"].encoder.training  # it is frozen
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == sum(value.numel() for value in model.state_dict().values())


def test_a_mixed_batch_is_what_each_sample_gives_alone():
    model = build().eval()
    together = model(**collated(model, mixed()), mode="predict")
    for one, seen in zip(mixed(), together, strict=True):
        (alone,) = model(**collated(model, [one]), mode="predict")
        torch.testing.assert_close(seen.pred_score, alone.pred_score)
        assert seen.gt_label == one["data_samples"].gt_label  # the order of the batch


def test_missing_modalities_are_left_out_of_the_mean():
    model = build().eval()
    batch = collated(model, [item(task="both", sight=1, sound=2), item(task="both", sound=3)])["inputs"]["both"]
    fused, features = model.fused_features(batch), model.features(batch)
    torch.testing.assert_close(fused[0], (features["sight"][0] + features["sound"][0]) / 2)
    torch.testing.assert_close(fused[1], features["sound"][1])
    assert batch.rows["sight"].tolist() == [0]


def test_losses_are_those_of_the_tasks_and_reach_every_trained_weight():
    model = build(loss_weights=dict(touch=3.0)).train()
    losses = model(**collated(model, mixed()), mode="loss")
    assert set(losses) == {"sight.loss", "touch.loss", "sound.loss", "both.loss", "both.sight.loss", "both.sound.loss"}
    model.parse_losses(losses)[0].backward()
    trained = {name: one.grad for name, one in model.named_parameters() if one.requires_grad}
    assert not [name for name, gradient in trained.items() if gradient is None or not gradient.abs().sum() > 0]
    assert all(one.grad is None for one in model.encoder.parameters())
    model.loss_weights = {}
    plain = model(**collated(model, mixed()), mode="loss")
    torch.testing.assert_close(losses["touch.loss"], 3 * plain["touch.loss"])


def test_a_task_alone_has_the_losses_of_its_own_model():
    model = build().eval()
    items = [item(sight=at, label=at % 2) for at in range(4)]
    part = model.models["sight"]
    data = part.data_preprocessor(
        dict(inputs=[one["inputs"]["sight"] for one in items], data_samples=[one["data_samples"] for one in items])
    )
    torch.testing.assert_close(
        model(**collated(model, items), mode="loss")["sight.loss"], part(**data, mode="loss")["loss"]
    )
    raw = model(**collated(model, mixed()))
    assert {task: tuple(output.shape) for task, output in raw.items()} == dict(
        sight=(1, 2), touch=(2, 2), both=(2, 2), sound=(1, 2)
    )


def test_samples_of_fused_tasks_are_not_mixed_by_one_modality():
    mixing = classifier("sight", data_preprocessor=dict(type="meta_unified_mixing"))
    model = build(models=dict(CONFIG["models"], sight=mixing))
    items = [item(task="both", sight=1, sound=2), item(task="both", sound=3), item(sight=0)]
    samples = model.data_preprocessor(collate_as_lists(items), training=True)["data_samples"]
    assert ["gt_score" in sample for sample in samples] == [False, False, True]


def test_parts_are_initialised_and_their_init_cfg_counts():
    weights = dict(type="Constant", layer="Conv2d", val=3.0)
    tokenizer = dict(type="ImageTokenizer", img_size=4, patch_size=2, init_cfg=weights)
    model = build(models=dict(CONFIG["models"], sight=dict(classifier("sight"), tokenizer=tokenizer)))
    model.init_weights()
    drawn = model.models["sight"].tokenizer
    assert drawn.pos_embed.abs().min() > 0
    assert (drawn.patch_embed.proj.weight == 3).all()
    for head in (model.models["touch"].head, model.fused["both"]):
        assert 0.005 < head.fc.weight.std() < 0.05


def test_without_data_samples_the_modalities_tell_the_task():
    model = build().eval()
    inputs = [{"sight": rows("sight")[0]["inputs"], "sound": rows("sound")[0]["inputs"]}, {"sight": torch.ones(4, 3)}]
    data = model.data_preprocessor({"inputs": inputs})
    assert {task: batch.places for task, batch in data["inputs"].items()} == dict(both=[0], sight=[1])
    assert len(model(**data, mode="predict")) == 2


def test_in_several_processes_all_tasks_have_a_loss(monkeypatch):
    monkeypatch.setattr("mm_meta_transformer.models.unified.get_world_size", lambda: 2)
    model = build().eval()
    losses = model(**collated(model, [item(sight=0), item(task="both", sight=1, sound=2)]), mode="loss")
    assert list(losses) == ["sight.loss", "sound.loss", "touch.loss", "both.loss"]
    assert losses["sound.loss"] == losses["touch.loss"] == 0
    monkeypatch.undo()
    alone = model(**collated(model, [item(task="both", sight=1, sound=2)]), mode="loss")
    torch.testing.assert_close(losses["both.loss"], sum(alone.values()))
    assert len(alone) == 3


def test_training_on_mixed_batches_learns_all_tasks():
    mixture = TaskMixture(dict(touch=rows("touch", 24), both=dict(PAIRS, missing=0.3)))
    model = build().train()
    optimiser = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 0.02)
    first = None
    for _ in range(15):
        loss = model.parse_losses(model(**collated(model, [mixture[at] for at in range(12)]), mode="loss"))[0]
        first = loss.item() if first is None else first
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.5 * first


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([item()], "sample 0 of the batch has no modality"),
        ([item(sight=0), {"inputs": {"smell": torch.ones(1)}, "data_samples": DataSample()}], "'smell'"),
        ([item(task="sight", sound=0)], "task 'sight' and sound"),
    ],
)
def test_samples_that_fit_no_task_are_named(items, message):
    with pytest.raises(ValueError, match=message):
        collated(build(), items)


def test_a_batch_that_is_not_a_list_names_the_collate_function():
    with pytest.raises(ValueError, match="collate_as_lists"):
        build().data_preprocessor({"inputs": {"sight": []}})


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="models="):
        build(models={})
    with pytest.raises(ValueError, match="sight is in models and in fused"):
        build(fused=dict(sight=CONFIG["fused"]["both"]))
    with pytest.raises(ValueError, match="loss_weights of smell"):
        build(loss_weights=dict(smell=1))
    model = build(models=dict(CONFIG["models"], sight=dict(classifier("sight"), pooling="flatten", head=WIDE)))
    with pytest.raises(ValueError, match="several widths"):
        model(**collated(model, [item(task="both", sight=0, sound=0)]))


WIDE = dict(type="MetaLinearHead", num_classes=2, in_channels=80)


def test_tasks_take_turns_in_the_mixture():
    mixture = TaskMixture(dict(touch=rows("touch", 2), both=PAIRS))
    assert [mixture.task_of(at) for at in range(len(mixture))] == ["touch", "both"] * 2 + ["both"] * 4
    first, second = mixture[0], mixture[1]
    assert (first["data_samples"].task, first["data_samples"].modalities) == ("touch", ("touch",))
    assert set(first["inputs"]) == {"touch"}
    assert (second["data_samples"].task, second["data_samples"].modalities) == ("both", ("sight", "sound"))
    assert mixture.metainfo["tasks"] == ("touch", "both")
    with pytest.raises(ValueError, match="no task"):
        TaskMixture({})


def test_pairs_have_one_label_and_lack_what_they_should():
    pairs = DATASETS.build(dict(PAIRS, missing=0.5, fixed=True, seed=1))
    seen = [pairs[at] for at in range(6)]
    for at, (one, again) in enumerate(zip(seen, (pairs[at] for at in range(6)), strict=True)):
        assert one["inputs"].keys() == again["inputs"].keys() == set(one["data_samples"].modalities)
        for modality, values in one["inputs"].items():
            torch.testing.assert_close(values, again["inputs"][modality])
            assert round(values.mean().item()) == one["data_samples"].gt_label == at % 2
    assert {len(one["inputs"]) for one in seen} == {1, 2}
    torch.manual_seed(0)
    free = DATASETS.build(dict(PAIRS, missing=dict(sound=0.5)))
    drawn = [free[0] for _ in range(20)]
    assert all("sight" in one["inputs"] for one in drawn)
    assert {len(one["inputs"]) for one in drawn} == {1, 2}
    partners = {tuple(one["inputs"]["sound"].ravel().tolist()) for one in drawn if "sound" in one["inputs"]}
    assert len(partners) == 3  # all with label 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(missing=1.0), "missing=1.0"),
        (dict(missing=dict(smell=0.1)), "missing has smell"),
        (dict(datasets=dict(sight=PAIRS["datasets"]["sight"])), "two modalities"),
        (
            dict(datasets=dict(PAIRS["datasets"], sound=dict(type="meta_unified_rows", modality="sound", count=1))),
            "label 1",
        ),
    ],
)
def test_pairs_that_cannot_be_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        DATASETS.build(PAIRS | changes)


def test_alternating_batches_are_of_one_task_and_of_all_samples():
    mixture = TaskMixture(dict(touch=rows("touch", 5), both=PAIRS))
    sampler = DefaultSampler(mixture, shuffle=True, seed=3)
    batches = AlternatingBatchSampler(sampler, 2)
    drawn = list(batches)
    tasks = [{mixture.task_of(index) for index in batch} for batch in drawn]
    assert tasks == [{"touch"}, {"both"}] * 3
    assert len(batches) == 6
    assert sorted(chain(*drawn)) == list(range(11))
    assert drawn == list(batches)
    sampler.set_epoch(1)
    assert drawn != list(batches)
    assert len(AlternatingBatchSampler(sampler, 2, drop_last=True)) == 5
    with pytest.raises(DataError, match="TaskMixture"):
        AlternatingBatchSampler(DefaultSampler(rows("sight"), shuffle=False), 2)


def test_no_task_is_dropped_as_a_whole(monkeypatch):
    sampler = DefaultSampler(TaskMixture(dict(touch=rows("touch", 5), both=PAIRS)), shuffle=True, seed=0)
    assert len(AlternatingBatchSampler(sampler, 5, drop_last=True)) == 2
    monkeypatch.setattr(alternating_batches, "get_dist_info", lambda: (0, 2))
    with pytest.raises(DataError, match=r"all of task 'touch': a process has 3 of its samples(.*)batch_size=3 at most"):
        AlternatingBatchSampler(sampler, 5, drop_last=True)
    assert len(AlternatingBatchSampler(sampler, 5)) == 2


def test_processes_get_batches_of_the_same_tasks(monkeypatch):
    mixture = TaskMixture(dict(touch=rows("touch", 5), both=PAIRS))
    batches = AlternatingBatchSampler(DefaultSampler(mixture, shuffle=True, seed=0), 2)
    drawn = []
    for rank in range(2):
        monkeypatch.setattr(alternating_batches, "get_dist_info", lambda rank=rank: (rank, 2))
        drawn.append(list(batches))
        assert len(drawn[-1]) == len(batches) == 4
    tasks = [[mixture.task_of(batch[0]) for batch in one] for one in drawn]
    assert tasks[0] == tasks[1]
    assert set(chain(*drawn[0], *drawn[1])) == set(range(11))


def test_metrics_see_their_task_and_modalities_alone():
    metrics = {
        name: METRICS.build(dict(type="TaskMetrics", task="both", modalities=only, metrics=dict(type="Accuracy")))
        for name, only in (("all", None), ("sound", ["sound"]))
    }
    scores = {0: [0.9, 0.1], 1: [0.1, 0.9]}
    seen = [("both", ("sight", "sound"), 0, 0), ("both", ("sound",), 1, 0), ("touch", ("touch",), 0, 1)]
    samples = []
    for task, modalities, label, answer in seen:
        sample = DataSample(metainfo=dict(task=task, modalities=modalities)).set_gt_label(label)
        samples.append(sample.set_pred_score(torch.tensor(scores[answer])).to_dict())
    for metric in metrics.values():
        metric.process(None, samples)
    assert metrics["all"].evaluate(3) == {"both/accuracy/top1": 50.0}
    assert metrics["sound"].evaluate(3) == {"both_sound-only/accuracy/top1": 0.0}
    baseline = METRICS.build(dict(type="TaskMetrics", task="both", metrics=[dict(type="MajorityBaseline")]))
    baseline.process(None, samples)
    assert baseline.evaluate(3) == {"baseline_both/accuracy/top1": 50.0}
    with pytest.raises(ValueError, match="no tested sample is of task 'smell'"):
        METRICS.build(dict(type="TaskMetrics", task="smell", metrics=dict(type="Accuracy"))).evaluate(3)


FUSIONS = {
    "mean of features": None,
    "mean of tokens": dict(type="TokenFusion", encoder_norm=1e-6),
    "class token": dict(type="TokenFusion", pooling="cls", pooled_norm=1e-6),
    "embedded": dict(type="TokenFusion", modality_embedding=("sight", "touch")),
}


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_what_a_sample_lacks_changes_nothing(fusion):
    model = build(fusion=fusion).eval()
    samples = [dict(sight=1, sound=2, touch=2), dict(sound=3), dict(touch=0, sight=2)]
    together = model(**collated(model, [item(task="both", **one) for one in samples]), mode="predict")
    for one, seen in zip(samples, together, strict=True):
        known = {} if fusion is None else {"modality_embedding": set(fusion.get("modality_embedding", ())) & one.keys()}
        others = build(
            models={name: CONFIG["models"][name] for name in CONFIG["models"] if name in one},
            fusion=fusion and fusion | known,
        ).eval()
        assert others.load_state_dict(model.state_dict(), strict=False).missing_keys == []
        (alone,) = others(**collated(others, [item(task="both", **one)]), mode="predict")
        torch.testing.assert_close(seen.pred_score, alone.pred_score)


@pytest.mark.parametrize("name", ["mean of tokens", "embedded"])
def test_the_tokens_of_all_modalities_are_one_sequence(name):
    model = build(fusion=FUSIONS[name]).eval()
    batch = collated(model, [item(task="both", sight=at, sound=at) for at in range(3)])["inputs"]["both"]
    tokens = [model.models[one].extract_tokens(batch.inputs[one]).tokens for one in ("sight", "sound")]
    embedding = model.fusion.modality_embedding
    if name == "embedded":
        assert list(embedding) == ["sight", "touch"]
        tokens[0] = tokens[0] + embedding["sight"]
    else:
        assert not list(embedding.parameters())
    encoded = model.fusion.encoder_norm(model.encoder(torch.cat(tokens, 1)))
    content = torch.cat((encoded[:, 1:5], encoded[:, 6:]), 1)  # each modality begins with its class token
    torch.testing.assert_close(model.fused_features(batch), content.mean(1))


def test_gradients_of_joined_tokens_reach_tokenizers_fusion_and_head():
    model = build(fusion=FUSIONS["class token"] | dict(modality_embedding=("sight", "sound"))).train()
    losses = model(**collated(model, [item(task="both", sight=0, sound=1), item(task="both", sound=1)]), mode="loss")
    assert losses.keys() == {"both.loss"}
    model.parse_losses(losses)[0].backward()
    reached = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    wanted = ("models.sight.tokenizer.", "models.sound.tokenizer.", "fusion.", "fused.both.")
    assert reached == {name for name, _ in model.named_parameters() if name.startswith(wanted)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(fusion=dict(type="TokenFusion", pooling="max")), "pooling='max' of the fusion"),
        (dict(fusion=dict(type="TokenFusion", modality_embedding=("smell",))), "modality_embedding of smell"),
        (dict(fusion=dict(type="TokenFusion"), fused={}), "a fusion and no task for it"),
    ],
)
def test_wrong_settings_of_a_fusion_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
