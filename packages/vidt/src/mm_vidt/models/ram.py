"""Stages of a Swin Transformer with the reconfigured attention module, RAM (arXiv 2110.03921).

Patches attend within shifted windows as in Swin. [DET] tokens attend to each other and, in a cross stage, to all
patches as well, with the same projections, norms and MLPs. Patches never attend to [DET] tokens. The two sorts stay
apart in two tensors: nothing is concatenated but the keys and values of a cross stage. Until patches or stochastic
depth tell images apart, all have the same [DET] tokens, and there is one set of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.drop import drop_path
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.ops.windows import ShiftMasks, merge, partition

APART = -100.0  # added to the logits of a pair that must not attend; finite, for an image may be all padding
Size = tuple[int, int]


class CrossPatches(NamedTuple):
    """What the [DET] tokens of a cross stage see of its patches.

    Attributes:
        pos: what is added to the patches ``(B, h*w, C)``.
        bias: what is added to the logits ``(B, 1, 1, h*w + N)``: ``APART`` for padded patches, else 0.
    """

    pos: Tensor
    bias: Tensor


def resize_mask(mask: Tensor, size: Size) -> Tensor:
    """Resize a boolean mask ``(B, h, w)`` to the nearest."""
    return F.interpolate(mask[:, None].float(), size)[:, 0].bool()


def cross_mask(padding_mask: Tensor, size: Size, stages: int) -> Tensor:
    """Return the padding mask as cross stages take it; one of another size resizes it a second time.

    Args:
        padding_mask: ``(B, H, W)``, True is padding.
        size: the size that is divided: for Swin the first stage's, for CoaT the image's.
        stages: how many cross stages there are.

    Returns:
        ``(B, h, w)``, an eighth of ``size`` for one cross stage; at least one element.
    """
    divisor = 2 ** (4 - stages)
    return resize_mask(padding_mask, (max(size[0] // divisor, 1), max(size[1] // divisor, 1)))


def cross_patches(mask: Tensor, size: Size, encoding: SinePositionalEncoding, det: Tensor) -> CrossPatches:
    """Return what the [DET] tokens of a stage see of its patches.

    Args:
        mask: the padding mask of any size ``(B, h', w')``.
        size: height and width of the stage's map.
        encoding: gives half of the stage's channels to each axis.
        det: the stage's [DET] tokens ``(B, N, C)``.
    """
    if mask.shape[1:] != size:
        mask = resize_mask(mask, size)
    pos = encoding(mask).flatten(2).transpose(1, 2).to(det.dtype)
    bias = torch.zeros_like(mask, dtype=det.dtype).masked_fill(mask, APART).flatten(1)
    return CrossPatches(pos, F.pad(bias, (0, det.shape[1]))[:, None, None])


class DetAttention(nn.Module):
    """Global attention of [DET] tokens, with projections that patches share.

    Args:
        channels: C.
        heads: number of heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Part projected tokens ``(B, T, k*C)`` into k tensors by heads ``(B, heads, T, C/heads)``."""
        parts = x.shape[-1] // self.proj.in_features
        return x.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()

    def attend_det(self, patches: Tensor, det: Tensor, cross: CrossPatches | None) -> Tensor:
        """Attend to the [DET] tokens and, in a cross stage, to the patches.

        Args:
            patches: normed patches ``(B, h*w, C)``.
            det: normed [DET] tokens with their position ``(B, N, C)``.
            cross: None where the stage is no cross stage.

        Returns:
            ``(B, N, C)``, projected.
        """
        query, key, value = self._det_heads(patches, det, cross)
        x = F.scaled_dot_product_attention(query, key, value, _bias_of(cross, query))
        return self.proj(x.transpose(1, 2).flatten(2))

    def det_weights(self, patches: Tensor, det: Tensor, cross: CrossPatches | None) -> Tensor:
        """Return the weights of :meth:`attend_det`, for drawing: ``(B, heads, N, keys)``, patches before tokens."""
        query, key, _ = self._det_heads(patches, det, cross)
        logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        return (logits if cross is None else logits + cross.bias).softmax(-1)

    def _det_heads(self, patches: Tensor, det: Tensor, cross: CrossPatches | None) -> tuple[Tensor, ...]:
        query, key, value = self.split(self.qkv(det))
        if cross is None:
            return query, key, value
        channels = self.proj.in_features
        weight, bias = self.qkv.weight[channels:], self.qkv.bias[channels:]  # nobody asks with these patches
        keys, values = self.split(F.linear(patches + cross.pos, weight, bias))
        return query, torch.cat([keys, key], 2), torch.cat([values, value], 2)


def _bias_of(cross: CrossPatches | None, query: Tensor) -> Tensor | None:
    return None if cross is None else cross.bias.to(query.dtype)


class WindowDetAttention(DetAttention):
    """Attention of patches within windows and of [DET] tokens globally.

    mmdet's ``WindowMSA`` computes the same for patches, but gathers its bias by a stored index, holds all logits and
    has no way in for the tokens.

    Args:
        channels: C.
        heads: number of heads.
        window: side of a window.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__(channels, heads)
        self.window = window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))

    def attend_windows(self, windows: Tensor, masks: Tensor | None) -> Tensor:
        """Attend within windows, before the projection.

        Args:
            windows: ``(B * windows, window**2, C)``.
            masks: of one image's windows ``(windows, 1, window**2, window**2)``; None where nothing was shifted.

        Returns:
            ``(B * windows, window**2, C)``.
        """
        query, key, value = self.split(self.qkv(windows))
        bias = self.relative_bias().to(query.dtype)
        if masks is not None:
            images = windows.shape[0] // masks.shape[0]
            bias = (bias + masks.to(query.dtype).expand(images, -1, -1, -1, -1)).flatten(0, 1)
        return _attend_with_bias(query, key, value, bias).transpose(1, 2).flatten(2)

    def relative_bias(self) -> Tensor:
        """Return the bias of each pair of a window's positions ``(1, heads, window**2, window**2)``.

        The pair (i, j), (k, l) has row ``(i - k + w - 1) * (2 * w - 1) + j - l + w - 1`` of the table: a sliding view.
        """
        window, side = self.window, 2 * self.window - 1
        table = self.relative_position_bias_table.view(side, side, self.heads)
        pairs = table.unfold(0, window, 1).unfold(1, window, 1).flip(3, 4)  # (i, j, head, k, l)
        return pairs.permute(2, 0, 1, 3, 4).reshape(1, self.heads, window**2, window**2)


def _attend_with_bias(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    if query.device.type != "cpu" or not bias.requires_grad:
        return F.scaled_dot_product_attention(query, key, value, bias)
    # torch's kernel for a CPU gives a bias no gradient, and what it does instead looks for rows that are masked out
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    return logits.add_(bias).softmax(-1) @ value


class ReconfiguredAttention(nn.Module):
    """The RAM: windows of patches, shifted in odd blocks, and [DET] tokens.

    Args:
        channels: C.
        heads: number of heads.
        window: side of a window.
        shift: shift by half a window.
        masks: shift masks, shared by the stage.
    """

    def __init__(self, channels: int, heads: int, window: int, shift: bool, masks: ShiftMasks) -> None:
        super().__init__()
        self.window, self.shift, self.masks = window, window // 2 if shift else 0, masks
        self.w_msa = WindowDetAttention(channels, heads, window)

    def forward(self, patches: Tensor, det: Tensor, size: Size, cross: CrossPatches | None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            patches: normed patches ``(B, h*w, C)``, without any position.
            det: normed [DET] tokens with their position ``(B, N, C)``.
            size: h and w.
            cross: None where the stage is no cross stage.

        Returns:
            Patches ``(B, h*w, C)`` and [DET] tokens ``(B, N, C)``.
        """
        (height, width), window = size, self.window
        x = patches.unflatten(1, size)
        x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))  # keys of the padding are the bias of qkv
        padded = (x.shape[1], x.shape[2])
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        masks = self.masks(padded, (self.shift, self.shift), x)[:, None] if self.shift else None
        x = merge(self.w_msa.attend_windows(partition(x, window), masks), window, *padded)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        x = self.w_msa.proj(x[:, :height, :width].flatten(1, 2))
        return x, self.w_msa.attend_det(patches, det, cross)


class RAMBlock(nn.Module):
    """A Swin block of patches and [DET] tokens.

    Args:
        channels: C.
        heads: number of heads.
        window: side of a window.
        shift: shift by half a window.
        masks: shift masks, shared by the stage.
        det_pos_dims: channels of the position embedding of [DET] tokens.
        drop_path_rate: stochastic depth: one draw per image and residual, for patches and tokens.
        with_cp: recompute the block in the backward pass instead of keeping what it computed.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        shift: bool,
        masks: ShiftMasks,
        det_pos_dims: int = 256,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = ReconfiguredAttention(channels, heads, window, shift, masks)
        self.norm2 = nn.LayerNorm(channels)
        self.ffn = FFN(channels, 4 * channels, act_cfg=dict(type="GELU"), add_identity=False)
        self.det_pos_linear = nn.Linear(det_pos_dims, channels)
        self.drop_path_rate, self.with_cp = drop_path_rate, with_cp

    def forward(
        self, patches: Tensor, det: Tensor, det_pos: Tensor, size: Size, cross: CrossPatches | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run the block.

        Args:
            patches: ``(B, h*w, C)``.
            det: ``(B, N, C)``.
            det_pos: ``(1, N, det_pos_dims)``.
            size: h and w.
            cross: None where the stage is no cross stage.

        Returns:
            Patches and [DET] tokens.
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self._run, patches, det, det_pos, size, cross, use_reentrant=False)
        return self._run(patches, det, det_pos, size, cross)

    def _run(
        self, patches: Tensor, det: Tensor, det_pos: Tensor, size: Size, cross: CrossPatches | None
    ) -> tuple[Tensor, Tensor]:
        # The position goes before the shared projection, so values have it too; the residual does not.
        attended = self.attn(self.norm1(patches), self.norm1(det) + self.det_pos_linear(det_pos), size, cross)
        patches, det = self._add((patches, det), attended)
        return self._add((patches, det), (self.ffn(self.norm2(patches)), self.ffn(self.norm2(det))))

    def _add(self, tokens: tuple[Tensor, Tensor], branches: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return add_branches(tokens, branches, self.drop_path_rate if self.training else 0.0)


def add_branches(
    tokens: tuple[Tensor, Tensor], branches: tuple[Tensor, Tensor], drop_path_rate: float
) -> tuple[Tensor, Tensor]:
    """Add a residual branch to patches and [DET] tokens; stochastic depth drops it for both of an image or for none.

    One set of [DET] tokens becomes one for each image where stochastic depth tells images apart.
    """
    if drop_path_rate:
        factor = drop_path(tokens[0].new_ones(len(tokens[0]), 1, 1), drop_path_rate, training=True)
        branches = (branches[0] * factor, branches[1] * factor)
    return tokens[0] + branches[0], tokens[1] + branches[1]


class PatchMerging(nn.Module):
    """Halve a map: 2 x 2 patches become one token.

    mmdet's unfolds with the channel first; this one keeps the official order, (row, column) = (0, 0), (1, 0), (0, 1),
    (1, 1), in which a [DET] token takes the place of all four.

    Args:
        channels: C.
        out_channels: of the result.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, out_channels, bias=False)

    def forward(self, patches: Tensor, size: Size) -> tuple[Tensor, Size]:
        """Merge patches ``(B, h*w, C)``; return ``(B, ceil(h/2) * ceil(w/2), out_channels)`` and the new size."""
        height, width = size
        x = F.pad(patches.unflatten(1, size), (0, 0, 0, width % 2, 0, height % 2))
        down, across = x.shape[1] // 2, x.shape[2] // 2
        x = x.unflatten(2, (across, 2)).unflatten(1, (down, 2))  # (B, h/2, row, w/2, column, C)
        x = x.permute(0, 1, 3, 4, 2, 5).reshape(x.shape[0], down * across, -1)
        return self.reduction(self.norm(x)), (down, across)

    def merge_det(self, det: Tensor) -> Tensor:
        """Widen [DET] tokens ``(B, N, C)`` to ``(B, N, out_channels)``."""
        return self.reduction(self.norm(det.repeat(1, 1, 4)))


class RAMStage(nn.Module):
    """Blocks of one size, and the merging after them.

    Args:
        channels: C.
        heads: number of heads.
        window: side of a window.
        cross: whether [DET] tokens attend to patches.
        drop_path_rates: one per block.
        out_channels: of the merging; None builds none.
        det_pos_dims: channels of the position embedding of [DET] tokens.
        with_cp: recompute each block in the backward pass.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        cross: bool,
        drop_path_rates: list[float],
        out_channels: int | None,
        det_pos_dims: int = 256,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        masks = ShiftMasks(window)
        self.blocks = nn.ModuleList(
            RAMBlock(channels, heads, window, bool(index % 2), masks, det_pos_dims, rate, with_cp)
            for index, rate in enumerate(drop_path_rates)
        )
        self.downsample = None if out_channels is None else PatchMerging(channels, out_channels)
        self.encoding = SinePositionalEncoding(channels // 2, normalize=True) if cross else None

    def forward(
        self, patches: Tensor, det: Tensor, det_pos: Tensor, size: Size, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run the blocks; the merging is called by itself, for the stage's own tokens are outputs too.

        Args:
            patches: ``(B, h*w, C)``.
            det: ``(B, N, C)``, or ``(1, N, C)`` where they are the same for all images.
            det_pos: ``(1, N, det_pos_dims)``.
            size: h and w.
            mask: padding ``(B, h', w')`` of any size; read by cross stages alone.

        Returns:
            Patches and [DET] tokens; these are one set for all images if they were, and nothing told images apart.
        """
        cross = None
        if self.encoding is not None:
            det = det.expand(patches.shape[0], -1, -1)
            cross = cross_patches(mask, size, self.encoding, det)
        for block in self.blocks:
            patches, det = block(patches, det, det_pos, size, cross)
        return patches, det
