"""The body as it is described, step by step and with our weights: what tests and benchmarks compare ours with.

As officially, [DET] tokens stand behind the patches in one tensor, which is cut and joined for attention; patches that
tokens attend to have queries, too, that nobody reads; all logits are held; the shift mask and the position encoding of
a stage are made in each call (naver-ai/vidt @ a8c48b5: methods/swin_w_ram.py).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmdet.models.backbones.swin import WindowMSA
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn
from torch.nn import functional as F

APART, WINDOW = -100.0, 7
AREA, SHIFT = WINDOW**2, WINDOW // 2
STEPS = WindowMSA.double_step_seq(2 * WINDOW - 1, WINDOW, 1, WINDOW)
PAIRS = (STEPS + STEPS.T).flip(1).flatten()  # row of the table of biases of each pair of places, a stored index
Size = tuple[int, int]


class Cross(NamedTuple):
    """What [DET] tokens see of a cross stage's patches: what is added to these, and to the logits."""

    pos: Tensor
    bias: Tensor


def plain_body(body: nn.Module, images: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
    """The maps, each ``(B, C, h, w)``, and the [DET] tokens ``(B, N, C)`` of a ``ViDTSwinTransformer``.

    Stochastic depth is left out: it draws numbers, and both sides shall compute the same.
    """
    patches, size = body.patch_embed(images)
    divisor = 2 ** (4 - len(body.cross_stages))
    mask = F.interpolate(padding_mask[None].float(), (size[0] // divisor, size[1] // divisor))[0].bool()
    x = torch.cat([patches, body.det_token.expand(len(images), -1, -1)], 1)
    tokens, maps = body.det_token.shape[1], []
    for number, stage in enumerate(body.stages):
        apart = plain_shift_mask(size, x.device)
        cross = plain_cross(mask, size, x.shape[-1], tokens) if stage.encoding is not None else None
        for index, block in enumerate(stage.blocks):
            x = plain_block(block, x, body.det_pos_embed, size, apart if index % 2 else None, cross)
        det = x[:, -tokens:]
        if number:
            maps.append(plain_map(x, size, tokens))
        if stage.downsample is not None:
            x, size = plain_merging(stage.downsample, x, size, tokens)
    if body.stages[-1].downsample is not None:
        maps.append(plain_map(x, size, tokens))
    return maps, det


def plain_map(x: Tensor, size: Size, tokens: int) -> Tensor:
    """View the patches as a map."""
    return x[:, :-tokens].view(len(x), *size, -1).permute(0, 3, 1, 2)


def plain_shift_mask(size: Size, device: torch.device) -> Tensor:
    """What is added to the logits of shifted windows, ``(windows, AREA, AREA)``."""
    padded = [-(-side // WINDOW) * WINDOW for side in size]
    regions = torch.zeros(1, *padded, 1, device=device)
    spans = (slice(0, -WINDOW), slice(-WINDOW, -SHIFT), slice(-SHIFT, None))
    for number, (rows, columns) in enumerate((rows, columns) for rows in spans for columns in spans):
        regions[:, rows, columns] = number
    regions = plain_windows(regions).flatten(1)
    return (regions[:, None] != regions[:, :, None]).float() * APART


def plain_cross(mask: Tensor, size: Size, channels: int, tokens: int) -> Cross:
    """What [DET] tokens see of a stage's patches."""
    if mask.shape[1:] != size:
        mask = F.interpolate(mask[None].float(), size)[0].bool()
    pos = SinePositionalEncoding(channels // 2, normalize=True)(mask).permute(0, 2, 3, 1)
    bias = F.pad(mask.float().flatten(1) * APART, (0, tokens))
    return Cross(pos, bias[:, None, None])


def plain_windows(x: Tensor) -> Tensor:
    """Cut ``(B, H, W, C)`` into windows ``(B * windows, WINDOW, WINDOW, C)``."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, WINDOW, WINDOW, channels)


def plain_unwindows(x: Tensor, size: Size) -> Tensor:
    """Put windows together again."""
    x = x.view(-1, size[0] // WINDOW, size[1] // WINDOW, WINDOW, WINDOW, x.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(len(x), *size, -1)


def plain_block(
    block: nn.Module, x: Tensor, det_pos: Tensor, size: Size, apart: Tensor | None, cross: Cross | None
) -> Tensor:
    """Run a block on patches and [DET] tokens ``(B, h*w + N, C)``; ``apart`` is that of a shifted block."""
    height, width = size
    batch, channels, normed = len(x), x.shape[-1], block.norm1(x)
    patches, det = normed[:, : height * width].reshape(batch, *size, channels), normed[:, height * width :]
    det = det + block.det_pos_linear(det_pos)
    grid = F.pad(patches, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
    if apart is not None:
        grid = grid.roll((-SHIFT, -SHIFT), (1, 2))
    grid, det = plain_attention(block.attn.w_msa, grid, patches, det, apart, cross)
    if apart is not None:
        grid = grid.roll((SHIFT, SHIFT), (1, 2))
    x = x + torch.cat([grid[:, :height, :width].reshape(batch, -1, channels), det], 1)
    return x + block.ffn(block.norm2(x))


def plain_attention(
    attn: nn.Module, grid: Tensor, patches: Tensor, det: Tensor, apart: Tensor | None, cross: Cross | None
) -> tuple[Tensor, Tensor]:
    """Attend within windows of the padded grid, and from [DET] tokens; return both, projected."""
    batch, *padded, channels = grid.shape
    heads, inner = attn.heads, padded[0] * padded[1]
    scale = (channels // heads) ** -0.5
    parts = [grid, det] if cross is None else [grid, patches + cross.pos, det]
    parts = [one.flatten(1, -2) for one in parts]
    qkv = attn.qkv(torch.cat(parts, 1))

    windows = plain_windows(qkv[:, :inner].reshape(batch, *padded, -1))
    q, k, v = windows.reshape(-1, AREA, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
    logits = (q * scale) @ k.transpose(2, 3)
    bias = attn.relative_position_bias_table[PAIRS.to(grid.device)].view(AREA, AREA, heads)
    logits = logits + bias.permute(2, 0, 1).contiguous()
    if apart is not None:
        logits = (logits.view(batch, -1, heads, AREA, AREA) + apart[:, None]).flatten(0, 1)
    seen = (logits.softmax(-1) @ v).transpose(1, 2).reshape(-1, WINDOW, WINDOW, channels)

    tokens = det.shape[1]
    q, k, v = qkv[:, -tokens:].reshape(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    if cross is not None:
        _, of_keys, of_values = qkv[:, inner:-tokens].reshape(batch, -1, 3, heads, k.shape[-1]).permute(2, 0, 3, 1, 4)
        k, v = torch.cat([of_keys, k], 2), torch.cat([of_values, v], 2)
    logits = (q * scale) @ k.transpose(2, 3)
    if cross is not None:
        logits = logits + cross.bias
    of_det = (logits.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, channels)

    out = attn.proj(torch.cat([plain_unwindows(seen, padded).flatten(1, 2), of_det], 1))
    return out[:, :inner].reshape(batch, *padded, channels), out[:, inner:]


def plain_merging(merging: nn.Module, x: Tensor, size: Size, tokens: int) -> tuple[Tensor, Size]:
    """Merge patches and [DET] tokens."""
    height, width = size
    grid = F.pad(x[:, :-tokens].reshape(len(x), height, width, -1), (0, 0, 0, width % 2, 0, height % 2))
    merged = torch.cat([grid[:, row::2, column::2] for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))], -1)
    both = torch.cat([merged.flatten(1, 2), x[:, -tokens:].repeat(1, 1, 4)], 1)
    return merging.reduction(merging.norm(both)), tuple(merged.shape[1:3])
