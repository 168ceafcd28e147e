"""ImageNet weights: each published layout fills its body, and what does not fit is named."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS

from mm_vidt.models import pretrained  # noqa: F401  registers
from mm_vidt.models.body_keys import coat_rules, swin_rules
from mmrepro.checkpoint import CheckpointMismatchError, KeyRules

BODIES = {
    "Swin": (
        dict(
            type="ViDTSwinTransformer",
            arch=dict(embed_dims=4, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2), drop_path_rate=0.0),
            num_det_tokens=3,
            det_pos_dims=8,
        ),
        swin_rules,
        ("det_token", "det_pos_embed", "stages.3.downsample"),
        {
            "norm.weight": (32,),
            "head.weight": (21841, 32),
            "layers.0.blocks.1.attn_mask": (64, 49, 49),
            "layers.0.blocks.0.attn.relative_position_index": (49, 49),
        },
    ),
    "CoaT": (
        dict(
            type="ViDTCoaT",
            arch=dict(embed_dims=(8, 8, 8, 8), depths=(2, 2, 2, 2), mlp_ratios=(1, 1, 1, 1)),
            num_det_tokens=3,
            det_pos_dims=8,
        ),
        coat_rules,
        ("det_", "patch_embed5"),
        {"norm1.weight": (8,), "norm4.bias": (8,), "head.weight": (1000, 8)},
    ),
}


def published(name: str, path) -> dict[str, torch.Tensor]:
    """Write a file of random weights in a published layout; return the body's weights that it stands for."""
    settings, rules, own, classifier = BODIES[name]
    torch.manual_seed(5)
    body = MODELS.build(settings)
    for parameter in body.parameters():
        torch.nn.init.normal_(parameter)
    state = {
        key: tensor
        for key, tensor in body.state_dict().items()
        if not key.startswith(own) and "det_pos_linear" not in key
    }
    file = KeyRules(rules("", "")).backward(state) | {key: torch.zeros(shape) for key, shape in classifier.items()}
    torch.save({"model": file}, path)
    return state


def start(name: str, checkpoint) -> torch.nn.Module:
    kind = f"Pretrained{name}Body"
    body = MODELS.build(BODIES[name][0] | dict(init_cfg=dict(type=kind, checkpoint=str(checkpoint))))
    body.init_weights()
    return body


@pytest.mark.parametrize("name", BODIES)
def test_a_body_starts_from_the_published_layout(name, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "info", lines.append)
    expected = published(name, tmp_path / "weights.pth")
    actual = start(name, tmp_path / "weights.pth").state_dict()
    assert all(torch.equal(actual[key], tensor) for key, tensor in expected.items())
    left = actual.keys() - expected.keys()
    assert left
    assert all(actual[key].any() for key in left if key.endswith(("det_token", "reduction.weight", "linear.weight")))
    assert f"{len(expected)} tensors loaded" in lines[-1]
    assert f"{len(left)} are not in it and start as drawn: det_pos_embed, det_pos_linear of the blocks" in lines[
        -1
    ] or (name == "CoaT" and "det_exp_1.weight" in lines[-1])


def test_the_file_of_another_network_is_refused_with_the_fix(tmp_path):
    published("CoaT", tmp_path / "coat.pth")
    with pytest.raises(CheckpointMismatchError, match=r"coat\.pth(.|\n)*Fix: .* or PretrainedCoaTBody for one of CoaT"):
        start("Swin", tmp_path / "coat.pth")


@pytest.mark.parametrize("name", BODIES)
def test_the_file_of_another_size_is_named(name, tmp_path):
    published(name, tmp_path / "weights.pth")
    file = torch.load(tmp_path / "weights.pth")["model"]
    key = "cls_token1" if name == "CoaT" else "layers.1.blocks.0.norm1.weight"
    file[key] = torch.zeros(5)
    torch.save(file, tmp_path / "weights.pth")
    with pytest.raises(CheckpointMismatchError, match=r"wrong shape .*another size(.|\n)*\(5,\) in the file"):
        start(name, tmp_path / "weights.pth")


def test_a_key_that_is_missing_or_unknown_is_named_instead_of_left_random(tmp_path):
    published("Swin", tmp_path / "swin.pth")
    file = torch.load(tmp_path / "swin.pth")["model"]
    del file["layers.2.blocks.0.mlp.fc1.weight"]
    torch.save(file, tmp_path / "swin.pth")
    with pytest.raises(CheckpointMismatchError, match=r"stages\.2\.blocks\.0\.ffn\.layers\.0\.0\.weight"):
        start("Swin", tmp_path / "swin.pth")
    torch.save(file | {"layers.0.other": torch.zeros(1)}, tmp_path / "swin.pth")
    with pytest.raises(CheckpointMismatchError, match=r"no rule takes(.|\n)*layers\.0\.other"):
        start("Swin", tmp_path / "swin.pth")
