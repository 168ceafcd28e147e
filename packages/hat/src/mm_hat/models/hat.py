"""HAT: a transformer for image super-resolution that combines window attention, channel attention and overlap.

Papers: "Activating More Pixels in Image Super-Resolution Transformer" (CVPR 2023, arXiv 2205.04437), "HAT: Hybrid
Attention Transformer for Image Restoration" (arXiv 2309.05239), figure 4.
Official code: XPixelGroup/HAT @ 1638a9a, hat/archs/hat_arch.py (Apache-2.0), whose parameter names are kept. Changed
here: index tables and mean are buffers that no checkpoint holds; the head for ``upsampler=None`` is not in that code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_hat.models.hybrid_attention import HAB
from mm_hat.models.overlapping_attention import OCAB
from mm_hat.models.relative_position import overlap_index
from mm_hat.models.residual_group import RHAG, AttentionBlocks, WindowTables, residual_convolution
from mm_hat.models.upsampling import Upsample
from mm_hat.models.windows import ShiftedOrder, shift_mask
from mmrepro.ops.windows import relative_position_index

RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DF2K
HEAD_CHANNELS = 64
# Two convolutions on the features; then one on the features and the others on maps larger by 2, 4, ... or by 3.
HEAD_REACH = 4
# At x4 the head's maps are larger than all of the body's, so inference makes these rows at a time.
HEAD_ROWS = 32


class PatchEmbed(nn.Module):
    """Tokens of a map, (B, C, H, W) to (B, H*W, C), normalised if asked for."""

    def __init__(self, channels: int, normalise: bool):
        super().__init__()
        self.norm = nn.LayerNorm(channels) if normalise else None

    def forward(self, maps: Tensor) -> Tensor:
        """Return the tokens, row by row."""
        tokens = maps.permute(0, 2, 3, 1).flatten(1, 2)
        return tokens if self.norm is None else self.norm(tokens)


@MODELS.register_module()
class HAT(BaseModule):
    """Make images larger by ``upscale``: (B, in_chans, H, W) to (B, in_chans, sH, sW), not clamped.

    H and W must be multiples of the window; :class:`ImageRestorer` pads to that and cuts the result.

    Args:
        in_chans: channels of images.
        img_size: side of training patches. Only ``ape`` and windows of that size depend on it.
        patch_size: 1; the official code has no other.
        window_size: side M of windows.
        compress_ratio: of the convolutional branch.
        squeeze_factor: of the channel attention.
        conv_scale: weight of the convolutional branch.
        overlap_ratio: how much larger the windows of the overlapping blocks are.
        img_range: images are multiplied by this inside.
        depths: number of hybrid blocks in each group.
        embed_dim: width C.
        num_heads: number of heads in each group.
        mlp_ratio: width inside feed-forward parts, divided by C.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the logits, by default (C / h) ** -0.5.
        drop_rate: dropout of tokens and of the hybrid blocks' results.
        attn_drop_rate: dropout of attention weights in the hybrid blocks.
        drop_path_rate: stochastic depth of the last hybrid block; it grows to that from 0 in the first one.
        ape: add a learned embedding of absolute positions; then only images of ``img_size`` are accepted.
        patch_norm: normalise tokens before the first group.
        upscale: s, 3 or a power of 2.
        upsampler: ``pixelshuffle``; or None with ``upscale=1`` for denoising and compression artefacts: the net
            predicts what to add to the image. The official code has no such head, this one is SwinIR's.
        resi_connection: ``1conv`` or ``identity`` at the end of groups.
        with_cp: in training compute blocks again in the backward pass instead of keeping their activations.
        init_cfg: as in every mmengine model; without it weights are drawn as in the official code.

    Raises:
        ValueError: arguments contradict each other, or the official code does not serve them.
    """

    def __init__(
        self,
        in_chans: int = 3,
        img_size: int = 64,
        patch_size: int = 1,
        window_size: int = 16,
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        conv_scale: float = 0.01,
        overlap_ratio: float = 0.5,
        img_range: float = 1.0,
        depths: Sequence[int] = (6,) * 6,
        embed_dim: int = 180,
        num_heads: Sequence[int] = (6,) * 6,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        ape: bool = False,
        patch_norm: bool = True,
        upscale: int = 4,
        upsampler: str | None = "pixelshuffle",
        resi_connection: str = "1conv",
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        _check_sizes(img_size, patch_size, window_size, depths, num_heads, embed_dim)
        if upsampler not in ("pixelshuffle", None) or (upsampler is None and upscale != 1):
            raise ValueError(
                f"upsampler={upsampler!r} with upscale={upscale} is not served: 'pixelshuffle' is, and None with "
                "upscale=1"
            )
        self.in_chans = in_chans
        self.img_size = img_size
        self.embed_dim = embed_dim
        self.window_size = window_size
        self.img_range = img_range
        self.upscale = upscale
        self.upsampler = upsampler

        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.patch_embed = PatchEmbed(embed_dim, patch_norm)
        if ape:
            self.absolute_pos_embed = nn.Parameter(torch.zeros(1, img_size**2, embed_dim))
            nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)
        else:
            self.absolute_pos_embed = None
        self.pos_drop = nn.Dropout(drop_rate)
        every = {"channels": embed_dim, "window_size": window_size, "mlp_ratio": mlp_ratio}
        every |= {"qkv_bias": qkv_bias, "qk_scale": qk_scale}
        hybrid = {"compress_ratio": compress_ratio, "squeeze_factor": squeeze_factor, "conv_scale": conv_scale}
        hybrid |= {"drop": drop_rate, "attn_drop": attn_drop_rate}
        drop_path = [drop_path_rate * i / max(sum(depths) - 1, 1) for i in range(sum(depths))]
        self.layers = nn.ModuleList()
        for group, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            first = sum(depths[:group])
            blocks = [
                # The official code shifts nothing where a training patch is one window.
                HAB(heads=heads, shifted=i % 2 == 1 and img_size > window_size, drop_path=rate, **every, **hybrid)
                for i, rate in enumerate(drop_path[first : first + depth])
            ]
            overlap_attn = OCAB(heads=heads, overlap_ratio=overlap_ratio, **every)
            self.layers.append(RHAG(embed_dim, AttentionBlocks(blocks, overlap_attn, with_cp), resi_connection))
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = residual_convolution(embed_dim, resi_connection)
        if upsampler is not None:
            self.conv_before_upsample = nn.Sequential(
                nn.Conv2d(embed_dim, HEAD_CHANNELS, 3, padding=1), nn.LeakyReLU(inplace=True)
            )
            self.upsample = Upsample(upscale, HEAD_CHANNELS)
        self.conv_last = nn.Conv2d(HEAD_CHANNELS if upsampler else embed_dim, in_chans, 3, padding=1)

        self._register_tables(window_size, window_size + int(window_size * overlap_ratio))
        self.apply(_init_linear)

    def _register_tables(self, window_size: int, overlap_window_size: int) -> None:
        """Register what follows from the arguments, so that it moves with the net and is in no checkpoint."""
        mean = RGB_MEAN if self.in_chans == 3 else (0.0,)
        self.register_buffer("mean", torch.tensor(mean, device="cpu").view(1, -1, 1, 1), persistent=False)
        self.register_buffer("window_index", relative_position_index(window_size), persistent=False)
        self.register_buffer("overlap_index", overlap_index(window_size, overlap_window_size), persistent=False)
        # In a map of 2 x 2 windows each is of another kind: inside, right column, bottom row, corner.
        masks = shift_mask(2 * window_size, 2 * window_size, window_size)
        self.register_buffer("shift_masks", masks, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Restore images.

        Args:
            images: (B, in_chans, H, W), RGB in [0, 1]; H and W are multiples of the window.

        Returns:
            (B, in_chans, s*H, s*W).

        Raises:
            ValueError: another shape.
        """
        self.check(images)
        normed = self.normalise(images)
        shallow = self.conv_first(normed)
        features = self.forward_features(shallow)
        if torch.is_grad_enabled():
            return self.reconstruct(normed, shallow, features) + self.base(images)
        parts = []
        for seen, own in head_strips(images.shape[2], HEAD_ROWS, self.upscale):
            strip = (maps[:, :, slice(*seen)] for maps in (normed, shallow, features))
            parts.append(self.reconstruct(*strip)[:, :, slice(*own)])
        return torch.cat(parts, 2) + self.base(images)

    def normalise(self, images: Tensor) -> Tensor:
        """Return images as the convolutions want them: without the mean, in the network's range."""
        images = (images - self.mean.to(images.dtype)) * self.img_range
        return images.contiguous(memory_format=torch.channels_last)

    def base(self, images: Tensor) -> Tensor:
        """Return what the network's result is added to, of a shape that fits (B, in_chans, s*H, s*W): the mean."""
        return self.mean

    def reconstruct(self, normed: Tensor, shallow: Tensor, features: Tensor) -> Tensor:
        """Make the result from the groups' features, without ``base``. It depends on HEAD_REACH pixels to each side.

        Args:
            normed: (B, in_chans, H, W), normalised images.
            shallow: (B, C, H, W), their first features.
            features: (B, C, H, W).

        Returns:
            (B, in_chans, s*H, s*W).
        """
        deep = self.conv_after_body(features) + shallow
        if self.upsampler is None:
            restored = normed + self.conv_last(deep)
        else:
            restored = self.conv_last(self.upsample(self.conv_before_upsample(deep)))
        return restored / self.img_range

    def forward_features(self, maps: Tensor) -> Tensor:
        """Run the groups: maps (B, C, H, W) to the same."""
        batch, _, *size = maps.shape
        shift = ShiftedOrder.of(batch, tuple(size), self.window_size, maps.device)
        tables = WindowTables(tuple(size), self.window_index, self.overlap_index, shift, self.shift_masks)
        tokens = self.patch_embed(maps)
        if self.absolute_pos_embed is not None:
            tokens = tokens + self.absolute_pos_embed
        tokens = self.pos_drop(tokens)
        for layer in self.layers:
            tokens = layer(tokens, tables)
        return self.norm(tokens).unflatten(1, size).permute(0, 3, 1, 2)

    def check(self, images: Tensor) -> None:
        """Refuse images that the network cannot take.

        Raises:
            ValueError: they are not (B, in_chans, H, W), or H and W are no multiples of the window.
        """
        if images.ndim != 4 or images.shape[1] != self.in_chans:
            raise ValueError(f"images of shape {tuple(images.shape)} are not (B, {self.in_chans}, H, W)")
        h, w = images.shape[2:]
        if not h or not w or h % self.window_size or w % self.window_size:
            raise ValueError(
                f"images of {h}x{w} (H x W) are no multiples of the window, {self.window_size}: pad them, as "
                "ImageRestorer does"
            )
        if self.absolute_pos_embed is not None and (h, w) != (self.img_size, self.img_size):
            raise ValueError(f"with ape=True images must be {self.img_size}x{self.img_size}, not {h}x{w} (H x W)")


def head_strips(height: int, rows: int, scale: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Cut maps into strips that the head can take one by one, without a seam.

    Args:
        height: of the maps.
        rows: of a strip.
        scale: s, how much larger the head makes the maps.

    Yields:
        The rows that the head has to see (first, end), and which rows of its result are the strip's own.
    """
    for first in range(0, height, rows):
        end = min(first + rows, height)
        seen = (max(first - HEAD_REACH, 0), min(end + HEAD_REACH, height))
        yield seen, ((first - seen[0]) * scale, (end - seen[0]) * scale)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_sizes(
    img_size: int, patch_size: int, window_size: int, depths: Sequence[int], num_heads: Sequence[int], embed_dim: int
) -> None:
    if patch_size != 1:
        raise ValueError(f"patch_size={patch_size} is not served: a token is a pixel, patch_size=1")
    if window_size < 2 or window_size % 2:
        raise ValueError(f"window_size={window_size} is not an even number above 0")
    if img_size < window_size:
        raise ValueError(f"img_size={img_size} is smaller than window_size={window_size}")
    if len(depths) != len(num_heads):
        raise ValueError(f"depths={tuple(depths)} and num_heads={tuple(num_heads)} are for different numbers of groups")
    for heads in num_heads:
        if heads < 1 or embed_dim % heads:
            raise ValueError(f"embed_dim={embed_dim} is no multiple of num_heads={heads}")
