"""The reconfigured attention module: what attends to what, and that being fast and being lean change no number."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlock
from mmdet.models.layers import SinePositionalEncoding

from mm_vidt.models.ram import (
    PatchMerging,
    RAMBlock,
    RAMStage,
    cross_mask,
    cross_patches,
    resize_mask,
)
from mmrepro.ops.windows import ShiftMasks

SIZE, CHANNELS, TOKENS = (9, 16), 8, 5


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(7)


def stage(cross: bool = False, rates=(0.0, 0.0), **settings) -> RAMStage:
    built = RAMStage(CHANNELS, 2, 7, cross, list(rates), 2 * CHANNELS, det_pos_dims=6, **settings)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return built.eval()


def tokens(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patches, [DET] tokens and their position."""
    height, width = SIZE
    return torch.randn(batch, height * width, CHANNELS), torch.randn(batch, TOKENS, CHANNELS), torch.randn(1, TOKENS, 6)


def padding(rows: int = 2, batch: int = 2) -> torch.Tensor:
    mask = torch.zeros(batch, *SIZE, dtype=torch.bool)
    mask[:, SIZE[0] - rows :] = True
    return mask


@pytest.mark.parametrize("shift", [False, True])
def test_patches_are_those_of_mmdets_block(shift):
    stock = SwinBlock(CHANNELS, 2, 4 * CHANNELS, shift=shift).eval()
    ours = RAMBlock(CHANNELS, 2, 7, shift, ShiftMasks(7), det_pos_dims=6).eval()
    for parameter in stock.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    ours.load_state_dict(stock.state_dict() | {"attn.w_msa.relative_position_index": None}, strict=False)
    patches, det, pos = tokens()
    with torch.inference_mode():
        torch.testing.assert_close(ours(patches, det, pos, SIZE)[0], stock(patches, SIZE), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shift", [False, True])
def test_windows_are_the_same_with_and_without_gradients(shift):
    attention = stage().blocks[shift].attn
    windows = torch.randn(12, 49, CHANNELS)
    masks = attention.masks((14, 21), (3, 3), windows)[:, None] if shift else None
    with torch.no_grad():
        expected = attention.w_msa.attend_windows(windows, masks)
    torch.testing.assert_close(attention.w_msa.attend_windows(windows, masks), expected)


@pytest.mark.parametrize("cross", [False, True])
def test_patches_never_attend_to_tokens_and_tokens_to_patches_in_a_cross_stage_alone(cross):
    blocks, (patches, det, pos) = stage(cross), tokens()
    with torch.inference_mode():
        before = blocks(patches, det, pos, SIZE, padding())
        other_det = blocks(patches, det + 1, pos, SIZE, padding())
        other_patches = blocks(patches + torch.randn_like(patches), det, pos, SIZE, padding())
    assert torch.equal(before[0], other_det[0])
    assert torch.equal(before[1], other_patches[1]) == (not cross)


def test_padded_patches_are_not_attended_to_and_a_picture_of_padding_is_finite():
    blocks, (patches, det, pos) = stage(cross=True, rates=[0.0]), tokens()
    mask = padding()
    changed = patches + mask.flatten(1)[..., None] * torch.randn_like(patches)
    with torch.inference_mode():
        torch.testing.assert_close(blocks(patches, det, pos, SIZE, mask)[1], blocks(changed, det, pos, SIZE, mask)[1])
        assert blocks(patches, det, pos, SIZE, torch.ones_like(mask))[1].isfinite().all()


def test_the_weights_for_drawing_are_those_of_the_attention():
    attention = stage(cross=True).blocks[0].attn.w_msa
    patches, det, _ = tokens()
    cross = cross_patches(padding(), SIZE, SinePositionalEncoding(CHANNELS // 2, normalize=True), det)
    with torch.inference_mode():
        for one in (cross, None):
            weights = attention.det_weights(patches, det, one)
            seen = det if one is None else torch.cat([patches + one.pos, det], 1)
            values = attention.qkv(seen)[..., -CHANNELS:].unflatten(-1, (2, -1)).transpose(1, 2)
            expected = attention.proj((weights @ values).transpose(1, 2).flatten(2))
            torch.testing.assert_close(attention.attend_det(patches, det, one), expected)
            torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, TOKENS))
        padded = padding()[0].flatten().nonzero()[:, 0]
        assert attention.det_weights(patches, det, cross)[..., padded].max() < 1e-30


def test_the_position_is_in_the_tokens_values_and_not_in_their_residual():
    block = stage(rates=[0.0]).blocks[0]
    patches, det, pos = tokens(1)
    torch.nn.init.zeros_(block.attn.w_msa.proj.weight)
    with torch.inference_mode():
        assert torch.equal(block(patches, det, pos, SIZE)[1], block(patches, det, pos + 1, SIZE)[1])
        torch.nn.init.normal_(block.attn.w_msa.proj.weight)
        torch.nn.init.zeros_(block.attn.w_msa.qkv.weight[: 2 * CHANNELS])  # all weights of attention are equal
        assert not torch.equal(block(patches, det, pos, SIZE)[1], block(patches, det, pos + torch.randn(6), SIZE)[1])


def test_a_mask_is_built_once_per_size_and_serves_training_after_inference(monkeypatch):
    built = []
    build = ShiftMasks._build
    monkeypatch.setattr(ShiftMasks, "_build", lambda *args: built.append(args[1]) or build(*args))
    blocks, (patches, det, pos) = stage(rates=[0.0] * 4), tokens()
    with torch.inference_mode():
        blocks(patches, det, pos, SIZE, None)
    assert built == [(14, 21)]
    sum(out.sum() for out in blocks(patches.requires_grad_(), det, pos, SIZE, None)).backward()
    assert built == [(14, 21)]


@pytest.mark.parametrize("cross", [False, True])
def test_recomputing_blocks_changes_nothing(cross):
    results, calls = [], ([], [])
    for with_cp in (False, True):
        torch.manual_seed(3)
        blocks = stage(cross, rates=[0.5, 0.5], with_cp=with_cp).train()
        blocks.blocks[0].attn.register_forward_hook(lambda *_, seen=calls[with_cp]: seen.append(1))
        patches, det, pos = (one.requires_grad_() for one in tokens(4))
        outputs = blocks(patches, det, pos, SIZE, padding(batch=4))
        sum(out.square().sum() for out in outputs).backward()
        used = [parameter.grad for name, parameter in blocks.named_parameters() if "downsample" not in name]
        results.append([*outputs, patches.grad, det.grad, pos.grad, *used])
    assert [len(seen) for seen in calls] == [1, 2]
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_a_dropped_path_is_dropped_for_patches_and_tokens_of_an_image():
    block = stage(rates=[0.5]).blocks[0].train()
    patches, det, pos = tokens(24)
    with torch.no_grad():
        outputs = block(patches, det, pos, SIZE)
    same = [(out == given).flatten(1).all(1) for out, given in zip(outputs, (patches, det), strict=True)]
    assert torch.equal(*same)  # both residuals dropped: an image in four
    assert 0 < same[0].sum() < 24
    with torch.no_grad():
        one_set, expanded = (
            (torch.manual_seed(3), block(patches, given, pos, SIZE))[1]
            for given in (det[:1], det[:1].expand(24, -1, -1))
        )
    torch.testing.assert_close(one_set, expanded)
    block.drop_path_rate = 1e-9  # kept branches are scaled by the rate
    with torch.no_grad():
        torch.testing.assert_close(block(patches, det, pos, SIZE), block.eval()(patches, det, pos, SIZE))


def test_merging_puts_rows_before_columns_and_a_token_in_all_four_places():
    merging = PatchMerging(2, 8)
    merging.norm = torch.nn.Identity()
    torch.nn.init.eye_(merging.reduction.weight)
    image = torch.arange(18.0).view(1, 3, 3, 2)
    merged, size = merging(image.flatten(1, 2), (3, 3))
    assert size == (2, 2)
    padded = F.pad(image, (0, 0, 0, 1, 0, 1))
    for place, (row, column) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        expected = [padded[0, row + down, column + across] for down, across in [(0, 0), (1, 0), (0, 1), (1, 1)]]
        assert torch.equal(merged[0, place], torch.cat(expected))
    assert torch.equal(merging.merge_det(torch.tensor([[[1.0, 2.0]]])), torch.tensor([[[1.0, 2.0] * 4]]))


def test_the_padding_mask_is_resized_twice():
    full = (torch.arange(88)[:, None] >= 50).expand(1, -1, 96)
    encoding, det = SinePositionalEncoding(CHANNELS // 2, normalize=True), torch.zeros(1, TOKENS, CHANNELS)
    first = cross_mask(full, (22, 24), 1)
    assert first.shape == (1, 2, 3)
    once = cross_patches(resize_mask(full, (3, 3)), (3, 3), encoding, det).bias
    assert torch.equal(once.flatten(), torch.tensor([0.0] * 6 + [-100.0] * 3 + [0.0] * TOKENS))
    assert not cross_patches(first, (3, 3), encoding, det).bias.any()  # row 44 stands for the lower half


def test_the_mask_of_the_smallest_picture_has_an_element():
    assert cross_mask(torch.zeros(1, 4, 4, dtype=torch.bool), (1, 1), 1).shape == (1, 1, 1)
