"""The DINOv2 transformer: its definition, what it gives at other image sizes, and what being frozen means."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from mm_monodino_detr.models.dinov2_vit import ARCHS, Attention, Block, DINOv2ViT

TINY = dict(embed_dims=16, depth=3, num_heads=2, out_indices=(0, 2))


def transformer(**settings) -> DINOv2ViT:
    torch.manual_seed(2)
    vit = MODELS.build(dict(type="DINOv2ViT", arch=TINY, img_size=42) | settings)
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return vit


def images(height: int = 42, width: int = 42) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("height", "width"), [(42, 42), (28, 70), (14, 14)])
def test_tokens_have_the_said_shapes(height, width):
    vit = transformer()
    tokens, grid = vit(images(height, width))
    assert grid == (height // 14, width // 14)
    assert [tuple(level.shape) for level in tokens] == [(2, grid[0] * grid[1], 16)] * 2
    assert [tuple(level.shape) for level in vit.levels(images(height, width))[0]] == [
        (2, 1 + grid[0] * grid[1], 16)
    ] * 2


def test_attention_is_its_definition():
    torch.manual_seed(4)
    attention, tokens = Attention(16, 2), torch.randn(3, 5, 16)
    with torch.inference_mode():
        query, key, value = (part.view(3, 5, 2, 8).transpose(1, 2) for part in attention.qkv(tokens).split(16, 2))
        weights = (query * 8**-0.5 @ key.transpose(2, 3)).softmax(3)
        expected = attention.proj((weights @ value).transpose(1, 2).reshape(3, 5, 16))
        torch.testing.assert_close(attention(tokens), expected)


def test_a_block_is_its_definition():
    torch.manual_seed(4)
    block, tokens = Block(16, 2), torch.randn(3, 5, 16) * 1e-3  # so small that the norms' epsilon counts
    for scale in (block.ls1, block.ls2):
        torch.nn.init.normal_(scale.gamma)
    with torch.inference_mode():
        expected = tokens + block.ls1.gamma * block.attn(F.layer_norm(tokens, (16,), eps=1e-6))
        hidden = block.mlp.fc1(F.layer_norm(expected, (16,), eps=1e-6))
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        expected = expected + block.ls2.gamma * block.mlp.fc2(hidden)
        torch.testing.assert_close(block(tokens), expected)


def test_every_level_goes_through_the_one_norm():
    vit = transformer()
    with torch.inference_mode():
        x, _ = vit.embed(images())
        expected = []
        for block in vit.blocks:
            x = block(x)
            expected.append(vit.norm(x)[:, 1:])
        tokens, _ = vit(images())
    assert torch.equal(tokens[0], expected[0])
    assert torch.equal(tokens[1], expected[2])


def test_patches_lie_row_by_row_behind_the_class_token():
    vit = transformer()
    with torch.inference_mode():
        vit.pos_embed.zero_()
        tokens, _ = vit.embed(images(28, 42))
        patch = images(28, 42)[:, :, 14:28, 28:42]
        expected = torch.einsum("bchw,dchw->bd", patch, vit.patch_embed.proj.weight) + vit.patch_embed.proj.bias
    torch.testing.assert_close(tokens[:, 1 + 1 * 3 + 2], expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(tokens[:, 0], vit.cls_token[:, 0].expand(2, -1))


def test_the_learned_positions_are_used_as_they_are_on_their_own_grid():
    vit = transformer()
    assert vit.position_embedding((3, 3)) is vit.pos_embed


def test_resized_positions_keep_their_axes_and_the_class_row():
    vit = transformer()
    down = torch.tensor([0.0, 5.0, 7.0])
    with torch.no_grad():
        vit.pos_embed[0, 1:] = down.repeat_interleave(3)[:, None]
    resized = vit.position_embedding((2, 5))
    assert resized.shape == (1, 11, 16)
    assert torch.equal(resized[:, 0], vit.pos_embed[:, 0])
    rows = resized[0, 1:].view(2, 5, 16)
    torch.testing.assert_close(rows, rows[:, :1, :1].expand(2, 5, 16))
    assert rows[0, 0, 0] < rows[1, 0, 0]


def test_resized_positions_are_read_where_dinov2_reads_them():
    vit = transformer(img_size=140)
    with torch.no_grad():
        vit.pos_embed[0, 1:] = torch.arange(10.0).repeat(10)[:, None]
    row = vit.position_embedding((5, 5))[0, 1:6, 0]
    place = 2.5 / (5.1 / 10) - 0.5  # of column 2; its grid is taken for 5.1 wide
    expected = sum(column * cubic(place - column) for column in range(10))
    assert row[2].item() == pytest.approx(expected, abs=1e-4)


def cubic(distance: float) -> float:
    """The weight of cubic convolution with a = -0.75, as torch has it."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_a_frozen_transformer_keeps_no_graph_and_stays_in_evaluation_mode():
    vit = transformer().train()
    given = images().requires_grad_()
    tokens, _ = vit(given)
    assert not any(level.requires_grad for level in tokens)
    assert not any(module.training for module in vit.modules())
    assert not any(parameter.requires_grad for parameter in vit.parameters())


def test_every_parameter_gets_a_gradient_where_not_frozen():
    vit = transformer(frozen=False, out_indices=(0, 1)).train()
    assert vit.training
    sum(level.square().sum() for level in vit(images())[0]).backward()
    without = {name for name, parameter in vit.named_parameters() if parameter.grad is None}
    assert without == {"mask_token", *(f"blocks.2.{name}" for name, _ in vit.blocks[2].named_parameters())}
    assert not any(parameter.requires_grad for name, parameter in vit.named_parameters() if name in without)


def test_recomputing_blocks_gives_the_same_numbers():
    results, calls = [], ([], [])
    for with_cp in (False, True):
        vit = transformer(frozen=False, with_cp=with_cp).train()
        vit.blocks[1].mlp.register_forward_hook(lambda *_, seen=calls[with_cp]: seen.append(1))
        tokens, _ = vit(images())
        sum(level.square().sum() for level in tokens).backward()
        results.append([*tokens, *(one.grad for one in vit.parameters() if one.requires_grad)])
    assert [len(seen) for seen in calls] == [1, 2]
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_bf16_stays_close_and_leaves_as_float32():
    exact, close = (transformer(bf16=bf16)(images())[0] for bf16 in (False, True))
    for one, wanted in zip(close, exact, strict=True):
        assert one.dtype == torch.float32
        assert 0 < (one - wanted).norm() < 0.05 * wanted.norm()


@pytest.mark.parametrize(("arch", "published"), [("small", 22056576), ("base", 86580480), ("large", 304368640)])
def test_each_size_has_the_published_number_of_parameters(arch, published):
    with torch.device("meta"):
        vit = DINOv2ViT(arch)
    assert sum(parameter.numel() for parameter in vit.parameters()) == published
    assert vit.embed_dims == ARCHS[arch]["embed_dims"]
    assert len(vit.out_indices) == 4
    assert vit.out_indices[-1] == len(vit.blocks) - 1


def test_weights_start_as_in_dinov2():
    vit = DINOv2ViT(TINY | dict(embed_dims=64), img_size=70)
    vit.init_weights()
    for weight in (vit.pos_embed, vit.blocks[1].attn.qkv.weight, vit.blocks[2].mlp.fc2.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert 0 < vit.cls_token.abs().max() < 1e-5
    assert not vit.blocks[0].attn.qkv.bias.any()
    assert torch.equal(vit.blocks[0].ls1.gamma, torch.ones(64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(arch="giant"), r"arch='giant' is unknown. Fix: one of small, base, large"),
        (dict(arch=dict(depth=3)), r"arch has depth. Fix: give embed_dims, depth, num_heads, out_indices"),
        (dict(img_size=500), r"img_size=500 must be a multiple of 14"),
        (dict(arch=TINY, out_indices=(0, 3)), r"out_indices=\(0, 3\): blocks are 0 to 2"),
        (dict(arch=TINY, out_indices=()), r"one at least leaves"),
        (dict(arch=TINY, out_indices=(2, 0)), r"out_indices=\(2, 0\). Fix: in ascending order, each once"),
        (dict(arch=TINY, out_indices=(0, 0)), r"out_indices=\(0, 0\). Fix: in ascending order, each once"),
        (dict(arch=TINY | dict(num_heads=3)), r"embed_dims=16 must be a multiple of num_heads=3"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DINOv2ViT(**settings)


@pytest.mark.parametrize(("height", "width"), [(384, 1288), (392, 1280), (0, 14)])
def test_images_that_do_not_fall_into_patches_are_refused(height, width):
    with pytest.raises(ValueError, match=rf"images of {height} x {width} pixels: pad them"):
        transformer()(torch.zeros(1, 3, height, width))
