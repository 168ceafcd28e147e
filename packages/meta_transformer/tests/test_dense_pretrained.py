"""Public weights for the dense backbone's ViT: what is filled, resized, unused, missing, and what is refused."""

import math

import pytest
import torch
from mmengine.registry import WEIGHT_INITIALIZERS

from mm_meta_transformer.dense.pretrained import vit_weights
from mm_meta_transformer.dense.vit_adapter import ViTAdapterMeta
from mmrepro.checkpoint import CheckpointMismatchError

SIZE = dict(arch=dict(embed_dim=16, depth=4, num_heads=2), conv_inplane=4, pretrain_size=64)


def backbone(**given):
    torch.manual_seed(0)
    return ViTAdapterMeta(**SIZE | given)


def drawn(network, patch=16, rows=17):
    """Return the file of a whole ViT whose weights are none of the network's."""
    torch.manual_seed(1)
    blocks = {k: torch.randn_like(v) for k, v in network.state_dict().items() if k.startswith("blocks.")}
    blocks = {key: value for key, value in blocks.items() if "gamma" not in key}
    return blocks | {
        "cls_token": torch.randn(1, 1, 16),
        "pos_embed": torch.randn(1, rows, 16),
        "patch_embed.proj.weight": torch.randn(16, 3, patch, patch),
        "patch_embed.proj.bias": torch.randn(16),
        "norm.weight": torch.randn(16),
        "head.weight": torch.randn(5, 16),
    }


def test_a_whole_vit_fills_the_trunk_and_the_report_names_every_key():
    network = backbone()
    state = drawn(network)
    weights, report = vit_weights(state, network, "vit.pth")
    assert set(report.loaded) | set(report.unused) == set(state)
    assert sorted(report.unused) == ["cls_token", "head.weight", "norm.weight"]
    assert sorted(report.missing) == sorted(f"blocks.{i}.gamma{k}" for i in range(4) for k in (1, 2))
    assert all(torch.equal(weights[key], state[key]) for key in report.loaded)
    assert "blocks.*.gamma1 (4), blocks.*.gamma2 (4)" in str(report)


@pytest.mark.parametrize("rows", [36, 37])
def test_a_large_encoders_patches_and_positions_are_resized(rows):
    network = backbone()
    state = drawn(network, patch=14, rows=rows)
    weights, report = vit_weights(state, network)
    assert weights["patch_embed.proj.weight"].shape == (16, 3, 16, 16)
    assert report.resized == {
        "patch_embed.proj.weight": "14x14 to 16x16 pixels, bilinear",
        "pos_embed": "6x6 to 4x4 positions, bicubic",
    }
    constant = dict(state, pos_embed=torch.full((1, rows, 16), 2.0))
    torch.testing.assert_close(vit_weights(constant, network)[0]["pos_embed"][:, 1:], torch.full((1, 16, 16), 2.0))


def test_an_encoders_file_fills_the_blocks_alone():
    network = backbone()
    state = {k.removeprefix("blocks."): v for k, v in drawn(network).items() if k.startswith("blocks.")}
    weights, report = vit_weights(state, network)
    assert torch.equal(weights["blocks.3.attn.qkv.weight"], state["3.attn.qkv.weight"])
    assert {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"} < set(report.missing)


def test_a_file_fills_a_backbone_by_init_cfg(tmp_path):
    network = backbone()
    state = drawn(network)
    torch.save({"model": state}, tmp_path / "vit.pth")
    WEIGHT_INITIALIZERS.build(dict(type="PretrainedMetaViT", checkpoint=str(tmp_path / "vit.pth")))(network)
    assert torch.equal(network.blocks[2].mlp.fc1.weight, state["blocks.2.mlp.fc1.weight"])
    assert torch.equal(network.blocks[2].gamma1, torch.ones(16))


def test_a_missing_file_says_where_to_get_it(tmp_path):
    start = WEIGHT_INITIALIZERS.build(dict(type="PretrainedMetaViT", checkpoint=str(tmp_path / "none.pth")))
    with pytest.raises(FileNotFoundError, match=r"none\.pth is not there.*Image_Meta-Transformer.*drive.google.com"):
        start(backbone())


def without(key):
    return lambda state: {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("blocks.0.norm1.weight"), r"none of Meta-Transformer's ViTs .*Fix: a file of the official README"),
        (without("blocks.1.norm2.bias"), r"not in the file \(1\):\n    blocks\.1\.norm2\.bias"),
        (without("pos_embed"), r"not in the file \(1\):\n    pos_embed"),
        (lambda state: state | {"mask_token": torch.zeros(1)}, r"not in the model \(1\):\n    mask_token"),
        (lambda state: state | {"blocks.0.gamma1": torch.ones(16)}, r"blocks\.0\.gamma1\. Fix: layer_scale=True"),
        (lambda state: state | {"pos_embed": torch.zeros(1, 18, 16)}, r"pos_embed: 18 rows are no square grid"),
        (
            lambda state: state | {"blocks.4.norm1.weight": torch.ones(16)},
            r"5 blocks of width 16 in the file, 4 blocks",
        ),
    ],
    ids=["foreign", "missing", "no positions", "unknown", "layer scale", "rows", "depth"],
)
def test_what_does_not_fit_is_refused_by_name(change, message):
    network = backbone(layer_scale=False)
    with pytest.raises(CheckpointMismatchError, match=r"(?s)vit\.pth does not fit.*" + message):
        vit_weights(change(drawn(network)), network, "vit.pth")


def test_positions_of_a_table_that_fits_stay_to_the_bit():
    network = backbone()
    state = drawn(network)
    assert math.isqrt(network.pos_embed.shape[1] - 1) == 4
    assert torch.equal(vit_weights(state, network)[0]["pos_embed"], state["pos_embed"])
