"""ImageNet weights for the four backbones, from the files that the official code starts from.

mmengine's ``Pretrained`` knows our names alone, and where a key does not fit it warns and goes on with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmdet.models.backbones.resnet import ResNet
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mm_relation_detr.backbone_keys import (
    convnext_rules,
    focalnet_rules,
    microsoft_swin_rules,
    resnet_rules,
    swin_rules,
)
from mm_relation_detr.models.focalnet import FocalNet
from mm_relation_detr.models.raw_convnext import RelationConvNeXt
from mm_relation_detr.models.raw_swin import RelationSwin
from mmrepro.checkpoint import CheckpointMismatchError, Drop, KeyRules, convert, differences, strip_wrappers


@dataclass(frozen=True)
class Layout:
    """The names that weights have in published files of one kind.

    Args:
        witness: a key that every such file has and no other.
        rules: the rules for two prefixes.
        backbone: the class that takes them.
        classifier: keys of the classifier, which a detector has no use for.
    """

    witness: str
    rules: Callable[[str, str], list]
    backbone: type[nn.Module]
    classifier: tuple[str, ...]


_LAYOUTS = {
    "torchvision's ResNet": Layout("layer1.0.bn1.weight", resnet_rules, ResNet, ("fc.*",)),
    "microsoft/Swin-Transformer": Layout(
        "layers.0.blocks.0.attn.qkv.weight", microsoft_swin_rules, RelationSwin, ("norm.*", "head.*")
    ),
    "torchvision's Swin": Layout("features.1.0.attn.qkv.weight", swin_rules, RelationSwin, ("norm.*", "head.*")),
    "microsoft/FocalNet": Layout(
        "layers.0.blocks.0.modulation.f.weight", focalnet_rules, FocalNet, ("norm.*", "head.*")
    ),
    "torchvision's ConvNeXt": Layout("features.1.0.layer_scale", convnext_rules, RelationConvNeXt, ("classifier.*",)),
}


def from_imagenet(state: dict[str, Tensor], backbone: nn.Module, source: str = "the checkpoint") -> dict[str, Tensor]:
    """Return a backbone's weights for those of an ImageNet file, without its classifier.

    Args:
        state: the file's state dict.
        backbone: the backbone; the norms of a FocalNet's outputs are in no file and keep what they have.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: the file's names are none of the known ones, it holds another backbone, or one of other
            sizes.
    """
    name = next((name for name, layout in _LAYOUTS.items() if layout.witness in state), None)
    if name is None:
        line = (
            f"its keys are {', '.join(list(state)[:3])}, ...; known are {', '.join(_LAYOUTS)}. Fix: take one of those "
            "files, or init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.') for weights in our names"
        )
        raise CheckpointMismatchError(source, {"it is no known file of ImageNet weights": [line]})
    layout = _LAYOUTS[name]
    if not isinstance(backbone, layout.backbone):
        here = type(backbone).__name__
        line = f"{name} in the file, {here} in the config. Fix: set backbone.type or init_cfg.checkpoint"
        raise CheckpointMismatchError(source, {"it holds another backbone": [line]})
    rules = KeyRules([*layout.rules("", ""), *(Drop(key, "the classifier") for key in layout.classifier)])
    converted = convert(state, rules, source=source)
    fresh = {key: value for key, value in backbone.state_dict().items() if _is_output_norm(key)}
    problems = differences(fresh | converted, backbone)
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    return converted


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone(PretrainedInit):
    """Start a backbone from a published ImageNet file; every key must fit, the classifier's aside.

    Files of torchvision (ResNet, ConvNeXt, Swin), microsoft/Swin-Transformer and microsoft/FocalNet are known by their
    keys. ``init_cfg=dict(type='PretrainedBackbone', checkpoint='torchvision://resnet50.imagenet1k_v2')``.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    def __init__(self, checkpoint: str) -> None:
        super().__init__(checkpoint)

    def __call__(self, module: nn.Module) -> None:
        """Fill the backbone.

        Raises:
            CheckpointMismatchError: see :func:`from_imagenet`.
        """
        state = strip_wrappers(CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu"), self.checkpoint)
        module.load_state_dict(from_imagenet(state, module, self.checkpoint), strict=False)
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())


def _is_output_norm(key: str) -> bool:
    return key.split(".")[0] in {"norm0", "norm1", "norm2", "norm3"}
