"""Feed-forward parts over the tokens of three levels, with depthwise convolutions on each level's map.

Source: ViT-CoMer (arXiv 2403.07392), section 3.2 (MRFP) and the convolutional FFN of ViT-Adapter. Official code:
Traffic-X/ViT-CoMer @ b57f386, comer_modules.py (Apache-2.0), whose parameter names are kept. Tokens are channels-last
maps already, so the convolutions read and write them by views, where the official code transposes and copies.
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmrepro.dense.token_levels import TokenLevels, join, to_tokens
from mmrepro.ops.pointwise import PointwiseLinear, linear

# Most hidden channels of the MRFP that inference on the CPU takes at a time: of 96, 288 and all 1152, the fastest for
# ViT-CoMer-T at 512x512, timed on one machine.
CHANNELS = 288
# Widths between that are taken so, divided by C, are above this: each part reads and adds C channels for its own. Timed
# in parts and whole at 512x512 on one thread of the same machine, parts are faster at 6 and 3 C, as fast at 2 C and
# slower at 1 C, ViT-CoMer-B's.
FACTOR = 2

# What SyncBatchNorm does in evaluation is plain batch norm; mmengine's replacement of it inherits the plain one.
_BATCH_NORMS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)


def _is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer is nothing but its weights: no replacement (LoRA, quantised) and no hook that wants a call."""
    return type(layer) is kind and not layer._forward_hooks and not layer._forward_pre_hooks


class MultiReceptiveConv(nn.Module):
    """For each level: depthwise 3x3 on the first half of the channels, 5x5 on the second, batch norm, GELU.

    Args:
        channels: C, even.
        norm_cfg: the official code has plain batch norm here, not synchronised.

    Raises:
        ValueError: C is odd.
    """

    def __init__(self, channels: int, norm_cfg: dict):
        super().__init__()
        if channels % 2:
            raise ValueError(f"the hidden width of the MRFP is {channels}; it must be even: change mrfp_ratio")
        half = channels // 2
        for level in (1, 2, 3):
            small, large = (nn.Conv2d(half, half, side, padding=side // 2, groups=half) for side in (3, 5))
            self.add_module(f"dwconv{2 * level - 1}", small)
            self.add_module(f"dwconv{2 * level}", large)
            self.add_module(f"bn{level}", build_norm_layer(norm_cfg, channels)[1])

    def forward(self, tokens: Tensor, levels: TokenLevels) -> list[Tensor]:
        """Return each level's result: (B, N, C) to (B, N_l, C)."""
        results = []
        for maps, (fine, wide), norm in zip(levels.maps(tokens), self._convolutions(), self._norms(), strict=True):
            first, second = maps.chunk(2, 1)
            results.append(to_tokens(F.gelu(norm(torch.cat((fine(first), wide(second)), 1)))))
        return results

    def separates(self) -> bool:
        """Whether channels are independent of each other: with batch norms that use their running statistics.

        Layers must be those of the constructor too, since :meth:`some` reads their weights and does not call them.
        """
        norms = self._norms()
        return (
            all(_is_plain(layer, nn.Conv2d) for pair in self._convolutions() for layer in pair)
            and all(type(norm).forward in _BATCH_NORMS and not norm.training for norm in norms)
            and all(_is_plain(norm, type(norm)) and norm.running_mean is not None for norm in norms)
        )

    def some(self, tokens: Tensor, levels: TokenLevels, first: int) -> Tensor:
        """Return what :meth:`forward` makes of some channels of one half, where channels are separate.

        Args:
            tokens: (B, N, k), the channels from `first` on.
            levels: where the tokens lie.
            first: their place among all C.
        """
        half, count = self.dwconv1.out_channels, tokens.shape[2]
        here, inside = slice(first, first + count), slice(first % half, first % half + count)
        results = []
        for maps, pair, norm in zip(levels.maps(tokens), self._convolutions(), self._norms(), strict=True):
            layer = pair[first // half]
            maps = F.conv2d(maps, layer.weight[inside], layer.bias[inside], padding=layer.padding, groups=count)
            mean, variance, weight, bias = (
                one if one is None else one[here]
                for one in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            )
            results.append(F.gelu(F.batch_norm(maps, mean, variance, weight, bias, eps=norm.eps)))
        return join(results)

    def _convolutions(self) -> tuple[tuple[nn.Conv2d, nn.Conv2d], ...]:
        return (self.dwconv1, self.dwconv2), (self.dwconv3, self.dwconv4), (self.dwconv5, self.dwconv6)

    def _norms(self) -> tuple[nn.Module, ...]:
        return self.bn1, self.bn2, self.bn3


class MRFP(nn.Module):
    """The multi-receptive field feature pyramid: C to ``hidden``, :class:`MultiReceptiveConv`, GELU, and back.

    With the GELU inside the convolutional stage there are two in a row, as in the official code. No norm, no residual.

    Args:
        embed_dim: width C.
        hidden: width between the layers, even.
        norm_cfg: of the convolutional stage; by default batch norm.
    """

    def __init__(self, embed_dim: int, hidden: int, norm_cfg: dict | None = None):
        super().__init__()
        self.fc1 = PointwiseLinear(embed_dim, hidden)
        self.dwconv = MultiReceptiveConv(hidden, norm_cfg or {"type": "BN"})
        self.fc2 = PointwiseLinear(hidden, embed_dim)

    def forward(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Apply the layers: (B, N, C) to the same."""
        hidden = self.fc1.out_features
        pays = hidden > max(2 * CHANNELS, FACTOR * self.fc1.in_features)
        in_parts = pays and tokens.device.type == "cpu" and not torch.is_grad_enabled()
        if in_parts and self._is_as_made() and self.dwconv.separates():
            return self._in_parts(tokens, levels)
        # Back to C by level: joined at `hidden`, up to 6 C wide, they would be copied once more.
        return torch.cat([self.fc2(F.gelu(one)) for one in self.dwconv(self.fc1(tokens), levels)], 1)

    def _is_as_made(self) -> bool:
        layers = (self.fc1, PointwiseLinear), (self.dwconv, MultiReceptiveConv), (self.fc2, PointwiseLinear)
        return all(_is_plain(layer, kind) for layer, kind in layers)

    def _in_parts(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Sum over parts of the hidden channels: the width between is never whole, which is most of the memory."""
        half, result = self.fc1.out_features // 2, self.fc2.bias
        count = ceil(half / ceil(half / CHANNELS))  # equal parts: a narrow last one costs as much as a wide one
        for start in (0, half):
            for first in range(start, start + half, count):
                here = slice(first, min(first + count, start + half))
                part = self.dwconv.some(linear(tokens, self.fc1.weight[here], self.fc1.bias[here]), levels, first)
                result = result + linear(F.gelu(part), self.fc2.weight[:, here])
        return result
