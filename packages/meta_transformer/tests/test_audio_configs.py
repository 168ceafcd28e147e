"""The audio configs: what is trained in the published rows, and that a small model learns generated tones."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmrepro.testing import load_config, tiny

CONFIGS = Path(__file__).resolve().parents[1] / "configs/meta_transformer"
FROZEN = "meta-transformer_base_frozen_4xb32-200e_speechcommands-224mel"
TUNED = "meta-transformer_base_4xb32-200e_speechcommands-224mel"


def trained(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_what_is_trained_is_what_the_released_code_trains():
    with torch.device("meta"):
        model = MODELS.build(load_config(CONFIGS / f"{FROZEN}.py").model)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert names == {
        *("tokenizer.pos_embed", "tokenizer.proj.weight"),
        *("pooled_norm.weight", "pooled_norm.bias", "head.fc.weight", "head.fc.bias"),
    }
    assert trained(model) == 1_122_851 - 768  # the released code's, less a token that it never reads


def test_a_name_that_is_frozen_must_be_there():
    settings = tiny(load_config(CONFIGS / f"{FROZEN}.py")).model
    with pytest.raises(ValueError, match=r"frozen='norm\.': no parameter's name begins so"):
        MODELS.build(settings | dict(frozen=("norm.",)))


def test_the_tuned_row_trains_everything():
    with torch.device("meta"):
        model = MODELS.build(load_config(CONFIGS / f"{TUNED}.py").model)
    assert trained(model) == sum(parameter.numel() for parameter in model.parameters()) == 86_178_851


@pytest.mark.parametrize("name", [FROZEN, "smoke_audio"])
def test_the_tiny_version_learns_to_tell_tones_apart(name):
    torch.manual_seed(0)
    config = tiny(load_config(CONFIGS / f"{name}.py"))
    model = MODELS.build(config.model)
    model.init_weights()
    loader = dict(config.train_dataloader, batch_size=8, sampler=dict(type="DefaultSampler", shuffle=False))
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        data = model.data_preprocessor(batch, training=True)
        model(**data, mode="loss")["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()(**model.data_preprocessor(batch), mode="predict")
    assert [int(sample.pred_label) for sample in found] == [int(sample.gt_label) for sample in found]
