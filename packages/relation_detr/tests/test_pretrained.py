"""ImageNet weights: each published layout fills its backbone, and what does not fit is named."""

import pytest
import torch
from mmengine.registry import MODELS

import mm_relation_detr  # noqa: F401  serves mmcv's operators to mmdet
from mm_relation_detr.backbone_keys import (
    convnext_rules,
    focalnet_rules,
    microsoft_swin_rules,
    resnet_rules,
    swin_rules,
)
from mm_relation_detr.models import pretrained  # noqa: F401  registers
from mmrepro.checkpoint import CheckpointMismatchError, KeyRules

SWIN = dict(type="mmdet.RelationSwin", embed_dims=4, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2), out_indices=(1, 2, 3))
BACKBONES = {
    "torchvision ResNet": (
        dict(type="mmdet.ResNet", depth=50, base_channels=2, norm_cfg=dict(type="BN", requires_grad=False)),
        resnet_rules,
        {"fc.weight": (1000, 64), "fc.bias": (1000,)},
    ),
    "microsoft Swin": (
        SWIN,
        microsoft_swin_rules,
        {
            "norm.weight": (32,),
            "head.weight": (21841, 32),
            "layers.0.blocks.1.attn_mask": (64, 49, 49),
            "layers.0.blocks.0.attn.relative_position_index": (49, 49),
        },
    ),
    "torchvision Swin": (SWIN, swin_rules, {"norm.bias": (32,), "head.bias": (1000,)}),
    "microsoft FocalNet": (
        dict(type="mmdet.FocalNet", embed_dim=4, depths=(1, 1, 1, 1)),
        focalnet_rules,
        {"norm.weight": (32,), "head.weight": (21842, 32)},
    ),
    "torchvision ConvNeXt": (
        dict(type="mmdet.RelationConvNeXt", arch=dict(depths=[1, 1, 1, 1], channels=[4, 8, 16, 32])),
        convnext_rules,
        {"classifier.0.weight": (32,), "classifier.2.bias": (1000,)},
    ),
}


def published(name: str, path) -> dict[str, torch.Tensor]:
    """Write a file of random weights in a published layout; return the backbone's weights that it stands for."""
    settings, rules, classifier = BACKBONES[name]
    torch.manual_seed(5)
    backbone = MODELS.build(settings)
    for key, tensor in backbone.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_() if not key.endswith("running_var") else tensor.uniform_(0.5, 1.5)
    state = {key: tensor for key, tensor in backbone.state_dict().items() if key.split(".")[0] not in _NORMS}
    file = KeyRules(rules("", "")).backward(state) | {key: torch.zeros(shape) for key, shape in classifier.items()}
    torch.save({"model": file}, path)
    return state


_NORMS = {"norm0", "norm1", "norm2", "norm3"}


def start(name: str, checkpoint) -> torch.nn.Module:
    init_cfg = dict(type="PretrainedBackbone", checkpoint=str(checkpoint))
    backbone = MODELS.build(BACKBONES[name][0] | dict(init_cfg=init_cfg))
    backbone.init_weights()
    return backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_starts_from_the_published_layout(name, tmp_path):
    expected = published(name, tmp_path / "weights.pth")
    actual = start(name, tmp_path / "weights.pth").state_dict()
    assert all(torch.equal(actual[key], tensor) for key, tensor in expected.items())
    assert {key.split(".")[0] for key in actual.keys() - expected.keys()} <= _NORMS


def test_the_file_of_another_backbone_is_named(tmp_path):
    published("torchvision ResNet", tmp_path / "resnet.pth")
    with pytest.raises(CheckpointMismatchError, match="torchvision's ResNet in the file, RelationSwin in the config"):
        start("microsoft Swin", tmp_path / "resnet.pth")


def test_another_file_is_refused_with_what_is_known(tmp_path):
    torch.save({"stages.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(
        CheckpointMismatchError, match=r"other\.pth(.|\n)*stages\.0\.weight.*known are torchvision's ResNet"
    ):
        start("torchvision ResNet", tmp_path / "other.pth")


def test_a_key_that_is_missing_is_named_instead_of_left_random(tmp_path):
    published("torchvision ResNet", tmp_path / "resnet.pth")
    state = torch.load(tmp_path / "resnet.pth")["model"]
    del state["layer3.4.conv2.weight"]
    state["layer1.0.conv1.weight"] = torch.zeros(3, 2, 1, 1)
    torch.save(state, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointMismatchError) as refused:
        start("torchvision ResNet", tmp_path / "resnet.pth")
    assert refused.value.problems == {
        "not in the file": ["layer3.4.conv2.weight"],
        "wrong shape": ["layer1.0.conv1.weight: (3, 2, 1, 1) in the file, (2, 2, 1, 1) in the model"],
    }
