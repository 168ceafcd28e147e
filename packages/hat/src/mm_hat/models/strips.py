"""The whole image's result in a fraction of its memory: HAT block by block over strips of the maps' rows.

Official code: none; there a picture that is too large goes through in tiles, and tiles change it: every gate of the
channel attention (arXiv 2309.05239, section 3.2) averages over what it sees, and depends on all gates before it. Here
each block runs over all of the maps before the next one does, so that gates see the whole image. No attention and no
other convolution of a block is computed twice (norms and the first convolution are, and where strips meet some rows of
the head and of keys and values), because

- a gate needs the mean of its convolution's result, and that convolution is linear: the means of what each of its taps
  sees are enough, so the narrow maps before it are stored and the wide ones after it never are as a whole;
- a strip's tokens are replaced in place as soon as they have been looked at for the last time.

Whole are the tokens, the group's input and the narrow maps: 2 1/3 maps of ``embed_dim`` numbers instead of about 12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_hat.models.channel_attention import CAB
from mm_hat.models.hat import HAT, HEAD_CHANNELS, HEAD_REACH, head_strips
from mm_hat.models.hybrid_attention import HAB
from mm_hat.models.overlapping_attention import OCAB
from mm_hat.models.residual_group import RHAG
from mm_hat.models.tiling import SHARE
from mm_hat.models.windows import ShiftedOrder

Rows = tuple[int, int]  # the first row and the one after the last
Order = Callable[[int, bool], ShiftedOrder]


@torch.no_grad()
def restore_in_strips(
    network: HAT, images: Tensor, rows: int, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Return what ``network(images)`` does in evaluation, up to rounding, with less memory.

    Args:
        network: in evaluation mode; it is not differentiated.
        images: (B, in_chans, H, W), RGB in [0, 1]; H and W are multiples of the window.
        rows: height of a strip, a multiple of the window; the smaller, the less memory.
        progress: called with the numbers of finished and of all steps: one for each block and one for the head.

    Returns:
        (B, in_chans, s*H, s*W), not clamped.

    Raises:
        ValueError: another shape, or ``rows`` is no multiple of the window.
    """
    network.check(images)
    if rows < network.window_size or rows % network.window_size:
        raise ValueError(f"rows={rows} is no multiple of the window, {network.window_size}")
    steps = sum(len(group.residual_group.blocks) + 1 for group in network.layers) + 1
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, steps)

    normed = network.normalise(images)
    tokens = _embed(network, normed, rows)
    tokens = _run_groups(network, tokens, rows, step)
    restored = _reconstruct(network, normed, tokens, rows)
    restored += network.base(images)
    step()
    return restored


def bytes_in_strips(network: HAT, sides: tuple[int, int], rows: int) -> float:
    """Estimate what :func:`restore_in_strips` takes for one image beyond the weights, in float32.

    A strip takes about 24 maps of ``embed_dim`` numbers, the allocator's gaps included; in the head it takes three of
    the enlarged maps, while one map of tokens and the narrow maps are free again. It is no bound: ``SHARE`` leaves room
    for what it misses.
    """
    height, width = sides
    channels, block = network.embed_dim, network.layers[0].residual_group.blocks[0]
    result = network.in_chans * network.upscale**2 * height
    body = (2 * channels + block.conv_block.cab[0].out_channels) * height + 24 * channels * rows
    head = channels * height + 3 * HEAD_CHANNELS * network.upscale**2 * min(rows + 2 * HEAD_REACH, height)
    return 4.0 * width * (result + max(body, head))


def rows_for(
    network: HAT, sides: tuple[int, int], window: int, memory: float, pixels: int, share: float = SHARE
) -> int | None:
    """Choose the height of strips: as many rows as make ``pixels``, or fewer where the memory is short.

    Args:
        network: which is to run.
        sides: height and width of the padded image.
        window: rows are a multiple of it.
        memory: bytes that are free, for each image of the batch.
        pixels: from which size on larger strips are no faster.
        share: how much of the memory may be used.

    Returns:
        The rows; None where not even strips of one window fit.
    """
    rows = min(math.ceil(pixels / (sides[1] * window)) * window, sides[0])
    while rows > window and bytes_in_strips(network, sides, rows) > memory * share:
        rows -= window
    return rows if bytes_in_strips(network, sides, rows) <= memory * share else None


def strips(height: int, rows: int) -> Iterator[Rows]:
    """Yield the rows of each strip; the last one may be lower."""
    for first in range(0, height, rows):
        yield first, min(first + rows, height)


def _embed(network: HAT, normed: Tensor, rows: int) -> Tensor:
    """Return the tokens as maps (B, H, W, C)."""
    batch, _, height, width = normed.shape
    # Under autocast strips may come in bfloat16; what is carried from block to block keeps the images' precision.
    tokens = normed.new_empty(batch, height, width, network.embed_dim)
    for first, end in strips(height, rows):
        shallow = _shallow(network, normed, (first, end))
        tokens[:, first:end] = network.patch_embed(shallow).unflatten(1, (end - first, width))
    if network.absolute_pos_embed is not None:
        tokens += network.absolute_pos_embed.unflatten(1, (height, width))
    return tokens


def _shallow(network: HAT, normed: Tensor, rows: Rows) -> Tensor:
    """Return some rows of the first features, (B, C, rows, W)."""
    return _convolve(network.conv_first, _bordered(normed.permute(0, 2, 3, 1), rows))


def _run_groups(network: HAT, tokens: Tensor, rows: int, step: Callable[[], None]) -> Tensor:
    """Run the groups over maps (B, H, W, C), which are used up, and return the last one's result."""
    work, narrow = torch.empty_like(tokens), None
    batch, _, width, _ = tokens.shape

    @cache
    def order(height: int, at_bottom: bool) -> ShiftedOrder:
        return ShiftedOrder.of_strip(batch, (height, width), network.window_size, tokens.device, at_bottom)

    for group in network.layers:
        work.copy_(tokens)
        for block in group.residual_group.blocks:
            narrow = _hybrid_block(network, block, work, rows, order, narrow)
            step()
        _overlapping_block(network, group.residual_group.overlap_attn, work, rows)
        step()
        _end_group(group, work, tokens, rows)
    return tokens


def _hybrid_block(network: HAT, block: HAB, tokens: Tensor, rows: int, order: Order, narrow: Tensor | None) -> Tensor:
    """Run a hybrid block on maps (B, H, W, C) in place.

    Args:
        network: whose tables are used.
        block: one of its blocks.
        tokens: (B, H, W, C).
        rows: height of a strip.
        order: gives the order of a shifted strip by its height and whether it is the last one.
        narrow: memory that an earlier call returned, to be used again.

    Returns:
        (B, H, W, C // compress_ratio), the maps between the two convolutions of the block.
    """
    _, height, width, _ = tokens.shape
    widen, attention = block.conv_block.cab[2:]
    sums = []  # of what the taps of a row see, row by row
    for first, end in strips(height, rows):
        part = _squeeze(block, tokens, (first, end))
        if narrow is None:
            narrow = part.new_empty(*tokens.shape[:3], part.shape[3])
        narrow[:, first:end] = part
        sums.append(_seen_by_taps(part, dim=2))  # (B, rows, 3, C')
    means = _seen_by_taps(torch.cat(sums, 1), dim=1) / (height * width)  # (B, 3, 3, C')
    means = F.conv2d(means.permute(0, 3, 1, 2).to(widen.weight.dtype), widen.weight, widen.bias)  # (B, C, 1, 1)
    gate = attention.attention[1:](means).permute(0, 2, 3, 1)

    shift = network.window_size // 2 if block.shifted else 0
    for first, end in strips(height, rows):
        # The last of the shifted strips ends with the map's first rows.
        parts = [(first + shift, min(end + shift, height))] + ([(0, shift)] if end + shift > height else [])
        old = torch.cat([tokens[:, slice(*part)] for part in parts], 1)
        shifted = order(end - first, end == height) if block.shifted else None
        attended = block.attend(block.norm1(old), network.window_index, shifted, network.shift_masks)
        conv = torch.cat([_convolve(widen, _bordered(narrow, part)).permute(0, 2, 3, 1) for part in parts], 1)
        new = block.join(old, attended, conv * gate)
        for part, value in zip(parts, new.split([end - first for first, end in parts], 1), strict=True):
            tokens[:, slice(*part)] = value
    return narrow


def _squeeze(block: HAB, tokens: Tensor, rows: Rows) -> Tensor:
    """Return some rows of the narrow maps between a block's two convolutions, (B, rows, W, C // compress_ratio)."""
    cab: CAB = block.conv_block
    narrowed = _convolve(cab.cab[0], _bordered(tokens, rows, block.norm1))
    return cab.cab[1](narrowed).permute(0, 2, 3, 1)


def _seen_by_taps(values: Tensor, dim: int) -> Tensor:
    """Sum over an axis what a convolution's three taps see of it: all but the last, all, all but the first."""
    length = values.shape[dim]
    dtype = torch.promote_types(values.dtype, torch.float32)
    ranges = ((0, length - 1), (0, length), (1, length - 1))
    return torch.stack([values.narrow(dim, *part).sum(dim, dtype=dtype) for part in ranges], dim)


def _overlapping_block(network: HAT, block: OCAB, tokens: Tensor, rows: int) -> None:
    """Run an overlapping block on maps (B, H, W, C) in place."""
    height, border = tokens.shape[1], block.overlap // 2
    above = tokens[:, :0]  # rows above the strip as they were
    for first, end in strips(height, rows):
        below = min(border, height - end)
        seen = torch.cat([above, tokens[:, first : end + below]], 1)
        attended = block.attend(block.norm1(seen), network.overlap_index, above.shape[1], below)
        old = seen[:, above.shape[1] : seen.shape[1] - below]
        tokens[:, first:end] = block.join(old, attended)
        above = seen[:, max(seen.shape[1] - below - border, 0) : seen.shape[1] - below].clone()


def _end_group(group: RHAG, tokens: Tensor, residual: Tensor, rows: int) -> None:
    """Add a group's convolution of the tokens to its input ``residual``, (B, H, W, C), in place."""
    for first, end in strips(tokens.shape[1], rows):
        if isinstance(group.conv, nn.Identity):
            residual[:, first:end] += tokens[:, first:end]
        else:
            residual[:, first:end] += _convolve(group.conv, _bordered(tokens, (first, end))).permute(0, 2, 3, 1)


def _reconstruct(network: HAT, normed: Tensor, tokens: Tensor, rows: int) -> Tensor:
    """Run the head over tokens (B, H, W, C): strips see enough rows around them, and those are cut off again."""
    batch, channels, height, width = normed.shape
    scale, done = network.upscale, 0
    restored = normed.new_empty(batch, channels, height * scale, width * scale)
    for seen, own in head_strips(height, rows, scale):
        features = network.norm(tokens[:, slice(*seen)]).permute(0, 3, 1, 2)
        shallow = _shallow(network, normed, seen)
        part = network.reconstruct(normed[:, :, slice(*seen)], shallow, features)[:, :, slice(*own)]
        restored[:, :, done : done + part.shape[2]] = part
        done += part.shape[2]
    return restored


def _bordered(maps: Tensor, rows: Rows, layer: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return some rows of maps (B, H, W, C) and one more on either side, zero where the map ends.

    Args:
        maps: (B, H, W, C).
        rows: which.
        layer: applied to the rows of the map, not to the zeros.
    """
    first, end = max(rows[0] - 1, 0), min(rows[1] + 1, maps.shape[1])
    part = maps[:, first:end]
    if layer is not None:
        part = layer(part)
    return F.pad(part, (0, 0, 0, 0, first - rows[0] + 1, rows[1] + 1 - end))


def _convolve(layer: nn.Conv2d, bordered: Tensor) -> Tensor:
    """Apply a 3x3 convolution to rows (B, rows + 2, W, C) that bring their border: (B, O, rows, W)."""
    return F.conv2d(bordered.permute(0, 3, 1, 2), layer.weight, layer.bias, padding=(0, 1))
