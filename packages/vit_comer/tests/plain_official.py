"""The official backbone, written down plainly from its description: what the benchmarks measure ours against.

Attention by explicit matrices, windows by unfolding maps, deformable attention by one ``grid_sample`` per level, maps
copied to channels-first for each depthwise convolution, tables made again in each forward
(Traffic-X/ViT-CoMer @ b57f386). Nothing of ours is imported; names of parameters are the official ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
LEVELS = 3
Sizes = list[tuple[int, int]]  # (height, width) of the three levels


class PlainViTCoMer(nn.Module):
    """Images (B, 3, h, w), sides multiples of 32, to maps (B, C, h/s, w/s) for the strides s = 4, 8, 16 and 32.

    ``windows`` has the side of each block's windows, None for none; with ``stages`` the results get the maps of the
    ViT after the four interactions, otherwise the last of them four times.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        windows: Sequence[int | None],
        pretrain_size: int,
        mrfp_hidden: int,
        stages: bool,
        deform_heads: int = 6,
        deform_ratio: float = 1.0,
        num_points: int = 4,
        inplanes: int = 64,
        extra_num: int = 4,
    ):
        super().__init__()
        self.side, self.stages = pretrain_size // 16, stages
        self.pos_embed = nn.Parameter(torch.zeros(1, self.side**2 + 1, embed_dim))
        self.level_embed = nn.Parameter(torch.zeros(LEVELS, embed_dim))
        self.patch_embed = PatchEmbed(embed_dim)
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, window) for window in windows)
        self.spm = SpatialPrior(embed_dim, inplanes)
        sizes = embed_dim, deform_heads, deform_ratio, num_points
        self.interactions = nn.ModuleList(Interaction(sizes, mrfp_hidden, extra_num * (k == 3)) for k in range(4))
        self.up = nn.ConvTranspose2d(embed_dim, embed_dim, 2, stride=2)
        for k in range(1, 5):
            self.add_module(f"norm{k}", nn.BatchNorm2d(embed_dim))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        batch, height, width = len(images), images.shape[2] // 16, images.shape[3] // 16
        sizes = [(2 * height, 2 * width), (height, width), (height // 2, width // 2)]
        reference = reference_points(sizes, images)
        c1, *maps = self.spm(images)
        c = torch.cat([one.flatten(2).transpose(1, 2) + self.level_embed[k] for k, one in enumerate(maps)], dim=1)
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2) + self.positions(height, width)
        stages, depth = [], len(self.blocks) // 4
        for k, interaction in enumerate(self.interactions):
            x, c = interaction(x, c, self.blocks[k * depth : (k + 1) * depth], reference, sizes)
            stages.append(x.transpose(1, 2).view(batch, -1, height, width).contiguous())
        c2, c3, c4 = to_maps(c, sizes)
        results = [self.up(c2) + c1, c2, c3, c4]
        added = stages if self.stages else stages[-1:] * 4
        factors = (4, 2, 1, 0.5)
        results = [one + resized(v, factor) for one, v, factor in zip(results, added, factors, strict=True)]
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        return tuple(norm(one) for norm, one in zip(norms, results, strict=True))

    def positions(self, height: int, width: int) -> Tensor:
        """The table for H x W tokens, (1, HW, C)."""
        table = self.pos_embed[:, 1:].reshape(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, (height, width), mode="bicubic", align_corners=False)
        return table.reshape(1, -1, height * width).permute(0, 2, 1)


class PatchEmbed(nn.Module):
    def __init__(self, embed_dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, 16, stride=16)


class Block(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int, window: int | None):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(embed_dim, eps=EPS) for _ in range(2))
        self.attn = Attention(embed_dim, num_heads, window)
        self.mlp = Mlp(embed_dim)
        self.gamma1, self.gamma2 = (nn.Parameter(torch.ones(embed_dim)) for _ in range(2))

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        x = x + self.gamma1 * self.attn(self.norm1(x), height, width)
        return x + self.gamma2 * self.mlp(self.norm2(x))


class Attention(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int, window: int | None):
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        qkv = self.qkv(x)
        attended = self.attend(qkv) if self.window is None else self.in_windows(qkv, height, width)
        return self.proj(attended)

    def attend(self, qkv: Tensor) -> Tensor:
        """(B, N, 3C) to (B, N, C)."""
        batch, tokens, channels = qkv.shape
        width = channels // 3 // self.num_heads
        query, key, value = qkv.reshape(batch, tokens, 3, self.num_heads, width).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query @ key.transpose(-2, -1)) * width**-0.5
        return (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, tokens, -1)

    def in_windows(self, qkv: Tensor, height: int, width: int) -> Tensor:
        """The same in windows of the map, filled up with zeros."""
        (batch, _, channels), side = qkv.shape, self.window
        maps = qkv.transpose(1, 2).reshape(batch, channels, height, width)
        maps = F.pad(maps, (0, -width % side, 0, -height % side))
        windows = F.unfold(maps, side, stride=side)  # (B, 3C*s*s, n)
        windows = windows.view(batch, channels, side**2, -1).permute(0, 3, 2, 1).reshape(-1, side**2, channels)
        attended = self.attend(windows).view(batch, -1, side**2, channels // 3)
        attended = attended.permute(0, 3, 2, 1).reshape(batch, channels // 3 * side**2, -1)
        maps = F.fold(attended, maps.shape[2:], side, stride=side)[:, :, :height, :width]
        return maps.reshape(batch, channels // 3, -1).transpose(1, 2)


class Mlp(nn.Module):
    def __init__(self, embed_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, 4 * embed_dim)
        self.fc2 = nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SpatialPrior(nn.Module):
    def __init__(self, embed_dim: int, p: int):
        super().__init__()
        stem = [*convolution(3, p, 2), *convolution(p, p, 1), *convolution(p, p, 1), nn.MaxPool2d(3, 2, 1)]
        self.stem = nn.Sequential(*stem)
        self.conv2 = nn.Sequential(*convolution(p, 2 * p, 2))
        self.conv3 = nn.Sequential(*convolution(2 * p, 4 * p, 2))
        self.conv4 = nn.Sequential(*convolution(4 * p, 4 * p, 2))
        for k, channels in enumerate((p, 2 * p, 4 * p, 4 * p), 1):
            self.add_module(f"fc{k}", nn.Conv2d(channels, embed_dim, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        at_4 = self.stem(images)
        at_8 = self.conv2(at_4)
        at_16 = self.conv3(at_8)
        return self.fc1(at_4), self.fc2(at_8), self.fc3(at_16), self.fc4(self.conv4(at_16))


def convolution(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Interaction(nn.Module):
    def __init__(self, sizes: tuple[int, int, float, int], mrfp_hidden: int, extra_num: int):
        super().__init__()
        self.cti_tov, self.cti_toc = CTIToV(*sizes), CTIToC(*sizes)
        self.extra_CTIs = nn.ModuleList(ExtraCTI(*sizes) for _ in range(extra_num))
        self.mrfp = TokenFFN(sizes[0], mrfp_hidden, MultiReceptive(mrfp_hidden))

    def forward(
        self, x: Tensor, c: Tensor, blocks: nn.ModuleList, reference: Tensor, sizes: Sizes
    ) -> tuple[Tensor, Tensor]:
        c = add_to_level_16(self.mrfp(c, sizes), x, sizes)
        x = self.cti_tov(x, c, reference, sizes)
        for block in blocks:
            x = block(x, *sizes[1])
        c = self.cti_toc(c, x, reference, sizes)
        for extra in self.extra_CTIs:
            c = extra(c, x, reference, sizes)
        return x, c


class LevelAttention(nn.Module):
    def __init__(self, embed_dim: int, heads: int, ratio: float, points: int):
        super().__init__()
        self.query_norm, self.feat_norm, self.ffn_norm = (nn.LayerNorm(embed_dim, eps=EPS) for _ in range(3))
        self.attn = DeformableAttention(embed_dim, heads, ratio, points)
        self.ffn = TokenFFN(embed_dim, embed_dim // 4, Depthwise(embed_dim // 4))

    def forward(self, query: Tensor, feat: Tensor, reference: Tensor, sizes: Sizes) -> Tensor:
        query = query + self.attn(self.query_norm(query), self.feat_norm(feat), reference, sizes)
        return query + self.ffn(self.ffn_norm(query), sizes)


class CTIToV(LevelAttention):
    def __init__(self, embed_dim: int, heads: int, ratio: float, points: int):
        super().__init__(embed_dim, heads, ratio, points)
        self.gamma = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, x: Tensor, c: Tensor, reference: Tensor, sizes: Sizes) -> Tensor:
        a = self.attn(self.query_norm(c), self.feat_norm(c), reference, sizes)
        a = a + self.ffn(self.ffn_norm(a), sizes)
        maps = [resized(one, factor) for one, factor in zip(to_maps(a, sizes), (0.5, 1, 2), strict=True)]
        return x + self.gamma * sum(one.flatten(2).transpose(1, 2) for one in maps)


class CTIToC(nn.Module):
    def __init__(self, embed_dim: int, heads: int, ratio: float, points: int):
        super().__init__()
        self.query_norm, self.feat_norm = (nn.LayerNorm(embed_dim, eps=EPS) for _ in range(2))
        self.cfinter = LevelAttention(embed_dim, heads, ratio, points)

    def forward(self, c: Tensor, x: Tensor, reference: Tensor, sizes: Sizes) -> Tensor:
        c = self.before(add_to_level_16(c, x, sizes), sizes)
        return self.cfinter(self.query_norm(c), self.feat_norm(c), reference, sizes)

    def before(self, c: Tensor, sizes: Sizes) -> Tensor:
        return c


class ExtraCTI(CTIToC):
    def __init__(self, embed_dim: int, heads: int, ratio: float, points: int):
        super().__init__(embed_dim, heads, ratio, points)
        self.ffn = TokenFFN(embed_dim, embed_dim // 4, Depthwise(embed_dim // 4))
        self.ffn_norm = nn.LayerNorm(embed_dim, eps=EPS)

    def before(self, c: Tensor, sizes: Sizes) -> Tensor:
        return c + self.ffn(self.ffn_norm(c), sizes)


class DeformableAttention(nn.Module):
    def __init__(self, embed_dim: int, heads: int, ratio: float, points: int):
        super().__init__()
        self.heads, self.points = heads, points
        self.sampling_offsets = nn.Linear(embed_dim, heads * LEVELS * points * 2)
        self.attention_weights = nn.Linear(embed_dim, heads * LEVELS * points)
        self.value_proj = nn.Linear(embed_dim, int(embed_dim * ratio))
        self.output_proj = nn.Linear(int(embed_dim * ratio), embed_dim)

    def forward(self, query: Tensor, feat: Tensor, reference: Tensor, sizes: Sizes) -> Tensor:
        batch, queries, _ = query.shape
        value = self.value_proj(feat).view(batch, feat.shape[1], self.heads, -1)
        offsets = self.sampling_offsets(query).view(batch, queries, self.heads, LEVELS, self.points, 2)
        weights = self.attention_weights(query).view(batch, queries, self.heads, LEVELS * self.points).softmax(dim=-1)
        scale = torch.tensor([(width, height) for height, width in sizes], dtype=query.dtype, device=query.device)
        grids = 2 * (reference[:, :, None, :, None] + offsets / scale[:, None]) - 1
        samples = []
        for level, (one, (height, width)) in enumerate(zip(split(value, sizes), sizes, strict=True)):
            maps = one.flatten(2).transpose(1, 2).reshape(batch * self.heads, -1, height, width)
            grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)  # (B*h, N, P, 2)
            samples.append(F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
        weights = weights.transpose(1, 2).reshape(batch * self.heads, 1, queries, LEVELS * self.points)
        summed = (torch.stack(samples, dim=-2).flatten(-2) * weights).sum(-1)  # (B*h, d, N)
        return self.output_proj(summed.view(batch, -1, queries).transpose(1, 2).contiguous())


class TokenFFN(nn.Module):
    def __init__(self, embed_dim: int, hidden: int, dwconv: nn.Module):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.dwconv = dwconv
        self.fc2 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor, sizes: Sizes) -> Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x), sizes)))


class Depthwise(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor, sizes: Sizes) -> Tensor:
        return torch.cat([self.dwconv(one).flatten(2).transpose(1, 2) for one in to_maps(x, sizes)], dim=1)


class MultiReceptive(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        for level in (1, 2, 3):
            self.add_module(f"dwconv{2 * level - 1}", nn.Conv2d(half, half, 3, padding=1, groups=half))
            self.add_module(f"dwconv{2 * level}", nn.Conv2d(half, half, 5, padding=2, groups=half))
            self.add_module(f"bn{level}", nn.BatchNorm2d(channels))

    def forward(self, x: Tensor, sizes: Sizes) -> Tensor:
        results = []
        for level, one in enumerate(to_maps(x, sizes), 1):
            small, large, norm = (
                self.get_submodule(name) for name in (f"dwconv{2 * level - 1}", f"dwconv{2 * level}", f"bn{level}")
            )
            first, second = one.chunk(2, dim=1)
            one = F.gelu(norm(torch.cat((small(first), large(second)), dim=1)))
            results.append(one.flatten(2).transpose(1, 2))
        return torch.cat(results, dim=1)


def reference_points(sizes: Sizes, like: Tensor) -> Tensor:
    """The centres of all tokens as (x, y), (1, N, 1, 2)."""
    points = []
    for height, width in sizes:
        y, x = torch.meshgrid(
            torch.linspace(0.5, height - 0.5, height, dtype=like.dtype, device=like.device) / height,
            torch.linspace(0.5, width - 0.5, width, dtype=like.dtype, device=like.device) / width,
            indexing="ij",
        )
        points.append(torch.stack((x.flatten(), y.flatten()), -1))
    return torch.cat(points)[None, :, None]


def split(tokens: Tensor, sizes: Sizes) -> tuple[Tensor, ...]:
    return tokens.split([height * width for height, width in sizes], dim=1)


def to_maps(tokens: Tensor, sizes: Sizes) -> list[Tensor]:
    """(B, N, C) to each level's (B, C, H_l, W_l)."""
    parts = zip(split(tokens, sizes), sizes, strict=True)
    return [part.transpose(1, 2).reshape(len(tokens), -1, *size).contiguous() for part, size in parts]


def add_to_level_16(c: Tensor, x: Tensor, sizes: Sizes) -> Tensor:
    fine, middle, coarse = split(c, sizes)
    return torch.cat((fine, middle + x, coarse), dim=1)


def resized(maps: Tensor, factor: float) -> Tensor:
    return maps if factor == 1 else F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
