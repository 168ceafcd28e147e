"""Windows of a token map: how tokens are dealt to shifted ones, and attention inside them.

Paper: arXiv 2309.05239, section 3.2; shifted windows are those of Swin (arXiv 2103.14030). Official code:
XPixelGroup/HAT @ 1638a9a, hat_arch.py (Apache-2.0). Changed here: fused attention, heads padded to a width that fused
kernels accept, and the mask only for the windows at the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmrepro.ops.windows import partition

OTHER_REGION = -100.0  # what the official mask adds to the logit of tokens that are no neighbours in the image
HEAD_MULTIPLE = 8  # fused kernels on GPUs want this, and those of CPUs are faster too


def shift_mask(height: int, width: int, window_size: int) -> Tensor:
    """Return what is added to the logits in shifted windows.

    The map is rolled by half a window, so the last row and column of windows hold parts that were not neighbours.

    Args:
        height: rows of the map, a multiple of M.
        width: columns of the map, a multiple of M.
        window_size: side M of the window; the shift is M // 2.

    Returns:
        (windows, M*M, M*M), float32: 0 inside a region, -100 between regions.
    """

    def band(length: int) -> Tensor:
        position = torch.arange(length, device="cpu")
        return (position >= length - window_size).long() + (position >= length - window_size // 2).long()

    region = 3 * band(height)[:, None] + band(width)[None, :]
    region = partition(region[None, :, :, None], window_size).squeeze(-1)  # (windows, M*M)
    return torch.where(region[:, :, None] == region[:, None, :], 0.0, OTHER_REGION)


@dataclass(frozen=True)
class ShiftedOrder:
    """The order in which the tokens of a batch are dealt to shifted windows.

    Windows that need the same mask follow each other: those inside the map, which need none, then the right column,
    the bottom row and the corner. So each kind is one call of the fused attention with one small mask.

    Attributes:
        order: (B*H*W) tokens of the flattened batch, window after window.
        inverse: (B*H*W) the places in ``order`` of the tokens.
        counts: numbers of windows inside, in the right column, in the bottom row, in the corner.
    """

    order: Tensor
    inverse: Tensor
    counts: tuple[int, int, int, int]

    @classmethod
    def of(cls, batch: int, size: tuple[int, int], window_size: int, device: torch.device) -> ShiftedOrder:
        """Return the order for a batch of maps of ``size`` (H, W), multiples of the window."""
        tokens = torch.arange(batch * size[0] * size[1], device=device).view(batch, *size)
        return cls._of_rolled(tokens.roll((-(window_size // 2),) * 2, (1, 2)), window_size, bottom_rows=1)

    @classmethod
    def of_strip(
        cls, batch: int, size: tuple[int, int], window_size: int, device: torch.device, at_bottom: bool
    ) -> ShiftedOrder:
        """Return the order for some rows of windows, whose rows of tokens are rolled already and columns are not.

        Args:
            batch: number of maps.
            size: (rows, W) of the strip, multiples of the window.
            window_size: side M of the window.
            device: where the order is needed.
            at_bottom: whether the last row of windows is the one that holds the map's bottom and top.
        """
        tokens = torch.arange(batch * size[0] * size[1], device=device).view(batch, *size)
        return cls._of_rolled(tokens.roll(-(window_size // 2), 2), window_size, bottom_rows=int(at_bottom))

    @classmethod
    def _of_rolled(cls, tokens: Tensor, window_size: int, bottom_rows: int) -> ShiftedOrder:
        (batch, h, w), m = tokens.shape, window_size
        windows = tokens.view(batch, h // m, m, w // m, m).permute(1, 3, 0, 2, 4)  # (H/M, W/M, B, M, M)
        inside, bottom = windows.split((h // m - bottom_rows, bottom_rows))
        kinds = (inside[:, :-1], inside[:, -1:], bottom[:, :-1], bottom[:, -1:])
        order = torch.cat([kind.flatten() for kind in kinds])
        return cls(order, order.argsort(), tuple(kind.shape[:3].numel() for kind in kinds))


def pad_heads(weight: Tensor, heads: int, multiple: int = HEAD_MULTIPLE) -> Tensor:
    """Fill each head of a projection up to a multiple of channels, with zeros.

    Logits and results stay the same: the added channels of queries, keys and values are zero. On the meta device, where
    operations are counted and nothing runs fast or slowly, the published width stays.

    Args:
        weight: (..., h*d, C) or a bias as (..., h*d, 1), heads one after the other.
        heads: number of heads h in the second last axis; for a joint qkv projection 3h.

    Returns:
        (..., h*padded, C).
    """
    missing = -(weight.shape[-2] // heads) % multiple
    if not missing or weight.is_meta:
        return weight
    split = weight.unflatten(-2, (heads, -1))
    return F.pad(split, (0, 0, 0, missing)).flatten(-3, -2)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, dropout: float = 0.0) -> Tensor:
    """Compute softmax(scale * q k^T + bias) v without storing the logits where a fused kernel exists.

    Args:
        query: (windows, N, h, d).
        key: (windows, K, h, d).
        value: (windows, K, h, d).
        bias: (1, h, N, K).
        scale: the factor of the logits; d may be padded, so it is not taken from there.
        dropout: probability for attention weights.

    Returns:
        (windows, N, h*d).
    """
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))  # (windows, h, N, d)
    result = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale)
    return result.transpose(1, 2).flatten(2)
