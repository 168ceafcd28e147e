"""Official ViT-Adapter backbones of segmentation and detection.

Their names are ours, in both directions; a whole detector's or segmentor's file, in which they begin with
``backbone.``, is ours as it is. A file without ``num_batches_tracked`` is taken as one of 0 batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

import mm_meta_transformer.dense.vit_adapter  # noqa: F401  registers what infer_config names
from mm_meta_transformer.checkpoints.batch_norm import with_counts
from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import KeyRules, Rename

_LEVELS, _POINTS = 3, 4  # of an injector's attention
_NAMES = (
    *("pos_embed", "level_embed", "patch_embed.proj.*", "blocks.{i}.*", "spm.*", "up.*", "norm{i}.*"),
    "interactions.{i}.*",
)
_RULES = [Rename(name, name) for name in _NAMES]
_OFFSETS = "interactions.0.injector.attn.sampling_offsets.bias"


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of a ViT-Adapter backbone."""
    return _OFFSETS in state and "spm.stem.0.weight" in state


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout, which are the same."""
    return with_counts(_RULES, state)


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the backbone that a state dict belongs to.

    What shows in no shape is that of the published networks: 64 channels for each of the ViT's heads, 4 points for each
    head and level of the deformable attention, and whether segmentation's or detection's maps are wanted; the first.

    Args:
        state: a complete state dict, :func:`matches`.
    """
    sizes = arch_of(state, "blocks.")
    dims, depth = sizes["embed_dims"], sizes["depth"]
    count = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("interactions."))
    injector = "interactions.0.injector.attn"
    return dict(
        type="ViTAdapterMeta",
        arch=dict(
            embed_dim=dims,
            depth=depth,
            num_heads=sizes["num_heads"],
            mlp_ratio=state["blocks.0.mlp.fc1.bias"].shape[0] / dims,
        ),
        interaction_indexes=[[k * depth // count, (k + 1) * depth // count - 1] for k in range(count)],
        use_extra_extractor=any(".extra_extractors." in key for key in state),
        layer_scale="blocks.0.gamma1" in state,
        deform_num_heads=state[_OFFSETS].shape[0] // (_LEVELS * _POINTS * 2),
        n_points=_POINTS,
        deform_ratio=state[f"{injector}.value_proj.bias"].shape[0] / dims,
        cffn_ratio=state["interactions.0.extractor.ffn.fc1.bias"].shape[0] / dims,
        pretrain_size=16 * isqrt(state["pos_embed"].shape[1]),
        conv_inplane=state["spm.stem.0.weight"].shape[0],
    )
