"""What no weight shows is in every checkpoint, and is compared when one is loaded."""

from types import SimpleNamespace

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoint_hook import MetaTransformerCheckpointHook, settings_of
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.papers import find_config
from mmrepro.testing import load_config


def classifier(
    pooling="cls", num_heads=None, norm_eps=1e-5, encoder_norm=1e-6, kind="MetaTransformerClassifier", **head
):
    config = dict(
        type=kind,
        tokenizer=dict(type="ImageTokenizer", img_size=8, patch_size=4),
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=dict(embed_dims=16, depth=1, num_heads=2),
            num_heads=num_heads,
            norm_eps=norm_eps,
        ),
        pooling=pooling,
        encoder_norm=encoder_norm,
        head=dict(type="MetaLinearHead", num_classes=2) | head,
    )
    with torch.device("meta"):
        return MODELS.build(config)


def saved(model):
    checkpoint = {}
    MetaTransformerCheckpointHook().before_save_checkpoint(SimpleNamespace(model=model), checkpoint)
    return checkpoint


def test_a_checkpoint_says_what_no_weight_shows():
    assert saved(classifier())["meta"]["model"] == {
        "network": {
            "type": "MetaTransformerClassifier",
            "pooling": "cls",
            "tokenizer": "ImageTokenizer",
            "encoder_norm": 1e-6,
        },
        "encoder": {"num_heads": 2, "norm_eps": 1e-5},
        "head": {"multi_label": False},
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(pooling="mean"), "network.pooling: 'cls' in the file, 'mean' in the config"),
        (dict(num_heads=4), "encoder.num_heads: 2 in the file, 4 in the config"),
        (dict(encoder_norm=1e-2), "network.encoder_norm: 1e-06 in the file, 0.01 in the config"),
        (dict(multi_label=True), "head.multi_label: False in the file, True in the config"),
        (dict(norm_eps=1e-6), "encoder.norm_eps: 1e-05 in the file, 1e-06 in the config"),
    ],
)
def test_what_differs_is_named(setting, message):
    checkpoint, other = saved(classifier()), classifier(**setting)
    with pytest.raises(CheckpointMismatchError, match=message):
        MetaTransformerCheckpointHook().compare(other, checkpoint)
    name = message.partition(":")[0]
    MetaTransformerCheckpointHook(ignore=[name]).compare(other, checkpoint)


@pytest.mark.parametrize(
    ("name", "entry"),
    [("own-text", "pieces"), ("base_sst2", "pieces"), ("own-tabular", "table"), ("base_adult", "table")],
)
def test_word_pieces_and_codes_of_tables_are_compared_with_the_datas(name, entry):
    config = load_config(find_config("meta_transformer", f"meta-transformer_{name}"))
    (hook,) = (one for one in config.custom_hooks if one.type == "StrictLoadHook")
    assert entry in hook.agree


def test_official_files_do_not_say_and_the_same_network_fits():
    model = classifier()
    MetaTransformerCheckpointHook().compare(model, {"state_dict": {}})
    MetaTransformerCheckpointHook().compare(model, {"meta": {"model": settings_of(model)}})


@pytest.mark.parametrize("kind", ["FrozenFeatureClassifier", "MultiViewClassifier"])
def test_one_network_under_another_class_fits(kind):
    MetaTransformerCheckpointHook().compare(classifier(kind=kind), saved(classifier()))


@pytest.mark.parametrize(
    ("kind", "setting", "other"),
    [
        ("VideoTokenizer", dict(num_frames=2, img_size=16, position=True), dict(position=False)),
        ("AudioTokenizer", dict(position=None, stride=10), dict(stride=(10, 8))),
        ("MetaRetrievalHead", dict(num_classes=2, in_channels=8), dict(scale=30.0)),
        ("TextTokenizer", dict(vocab_size=4, max_length=4), dict(position=None)),
        ("PointPatchTokenizer", dict(group_size=8, channels=(4, 4, 4)), dict(group_size=4)),
        ("PointPatchTokenizer", dict(sample_ratio=0.5, channels=(4, 4, 4)), dict(sample_ratio=0.25)),
        ("P3Tokenizer", dict(group_size=8), dict(group_size=4)),
        ("PointSegHead", dict(num_classes=2, in_channels=8, append=("max",)), dict(append=("avg",))),
    ],
)
def test_parts_say_what_their_weights_do_not_show(kind, setting, other):
    dims = {} if kind.endswith("Head") else dict(embed_dims=8)
    config = dict(type=kind) | dims | setting
    one, changed = (torch.nn.ModuleDict({"part": MODELS.build(config | more)}) for more in ({}, other))
    with pytest.raises(CheckpointMismatchError, match=rf"part\.{next(iter(other))}"):
        MetaTransformerCheckpointHook().compare(changed, saved(one))
