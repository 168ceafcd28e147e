"""The hook that names variants when a checkpoint is loaded."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS
from torch import nn

from mm_vit_comer import checkpoint_hook  # noqa: F401  registers
from mm_vit_comer.models.vit_comer import ViTCoMer
from mmrepro.checkpoint import CheckpointMismatchError


def runner(**settings) -> SimpleNamespace:
    model = nn.Module()
    arch = dict(embed_dim=16, depth=4, num_heads=2)
    model.backbone = ViTCoMer(arch, conv_inplane=4, deform_num_heads=2, pretrain_size=64, **settings)
    return SimpleNamespace(model=model)


def test_a_checkpoint_carries_what_shows_in_no_shape(tmp_path):
    hook, detector = HOOKS.build(dict(type="ViTCoMerCheckpointHook")), runner(variant="det")
    checkpoint = {"state_dict": detector.model.state_dict()}
    hook.before_save_checkpoint(detector, checkpoint)
    torch.save(checkpoint, tmp_path / "det.pth")
    loaded = torch.load(tmp_path / "det.pth", weights_only=True)
    hook.after_load_checkpoint(detector, loaded)
    other = runner(variant="det", add_vit_feature="stages")
    with pytest.raises(CheckpointMismatchError, match="add_vit_feature: 'last' in the file, 'stages' in the config"):
        hook.after_load_checkpoint(other, loaded)
    HOOKS.build(dict(type="ViTCoMerCheckpointHook", ignore=["backbone.add_vit_feature"])).after_load_checkpoint(
        other, loaded
    )


def test_it_runs_before_the_hook_that_lists_keys():
    priorities = [HOOKS.build(dict(type=name)).priority for name in ("ViTCoMerCheckpointHook", "StrictLoadHook")]
    assert priorities == ["HIGHEST", "VERY_HIGH"]
