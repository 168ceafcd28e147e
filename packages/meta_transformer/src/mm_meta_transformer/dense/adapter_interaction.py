"""What the two branches of ViT-Adapter tell each other: injectors and extractors, by deformable attention.

Paper: ViT-Adapter (arXiv 2205.08534), sections 3.3 and 3.4, which Meta-Transformer takes for its dense tasks
(invictus717/MetaTransformer @ b08a2be, whose parameter names are kept). Below, `x` are ViT tokens (B, HW, C) and `c`
tokens of the convolutional branch (B, N, C) at strides 8, 16 and 32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.dense.interaction_sizes import InteractionSizes
from mmrepro.dense.token_levels import TokenLevels


class Injector(nn.Module):
    """Give the ViT what its tokens gather among the three levels: x + gamma * attention(x, c).

    Args:
        sizes: widths and rates.
        init_values: where ``gamma`` begins; with 0 a fresh model's ViT is that of its pre-training.
    """

    def __init__(self, sizes: InteractionSizes, init_values: float = 0.0):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((sizes.embed_dim,), init_values))
        self.query_norm = sizes.norm()
        self.feat_norm = sizes.norm()
        self.attn = sizes.attention()

    def forward(self, x: Tensor, c: Tensor, levels: TokenLevels) -> Tensor:
        """Return the ViT tokens (B, HW, C)."""
        gathered = self.attn.attend(
            self.query_norm(x),
            self.feat_norm(c),
            levels.at_16.reference_points,
            levels.spatial_shapes,
            levels.level_start_index,
        )
        return torch.addcmul(x, self.gamma, gathered)


class Extractor(nn.Module):
    """Give the convolutional tokens what they gather from the ViT, then their convolutional FFN, both with residual.

    Args:
        sizes: widths and rates.
    """

    def __init__(self, sizes: InteractionSizes):
        super().__init__()
        self.query_norm = sizes.norm()
        self.feat_norm = sizes.norm()
        self.attn = sizes.attention(levels=1)
        self.ffn = sizes.ffn()
        self.ffn_norm = sizes.norm()
        self.drop_path = DropPath(sizes.drop_path)

    def forward(self, c: Tensor, x: Tensor, levels: TokenLevels) -> Tensor:
        """Return the convolutional tokens (B, N, C)."""
        c = c + self.attn.attend(
            self.query_norm(c),
            self.feat_norm(x),
            levels.reference_points,
            levels.at_16.spatial_shapes,
            levels.at_16.level_start_index,
        )
        return c + self.drop_path(self.ffn(self.ffn_norm(c), levels))


class AdapterInteraction(nn.Module):
    """Some of the ViT's blocks with an injector before and extractors after them.

    Args:
        sizes: widths and rates.
        extra_num: number of further extractors; the last interaction has two.
        init_values: where the injector's ``gamma`` begins.
        with_cp: in training compute the exchange again in the backward pass instead of keeping its activations.
    """

    def __init__(self, sizes: InteractionSizes, extra_num: int = 0, init_values: float = 0.0, with_cp: bool = False):
        super().__init__()
        self.with_cp = with_cp
        self.injector = Injector(sizes, init_values)
        self.extractor = Extractor(sizes)
        extra = [Extractor(sizes) for _ in range(extra_num)]
        self.extra_extractors = nn.ModuleList(extra) if extra else None

    def forward(
        self, x: Tensor, c: Tensor, blocks: Callable[[Tensor], Tensor], levels: TokenLevels
    ) -> tuple[Tensor, Tensor]:
        """Exchange, run the blocks, exchange.

        Args:
            x: ViT tokens (B, HW, C).
            c: convolutional tokens (B, N, C).
            blocks: the ViT's blocks between, (B, HW, C) to the same.
            levels: where the tokens of c lie.

        Returns:
            x and c.
        """
        x = blocks(self._run(self.injector, x, c, levels))
        for extractor in (self.extractor, *(self.extra_extractors or ())):
            c = self._run(extractor, c, x, levels)
        return x, c

    def _run(self, module: nn.Module, *arguments: Tensor | TokenLevels) -> Tensor:
        if self.with_cp and self.training and torch.is_grad_enabled():
            return checkpoint(module, *arguments, use_reentrant=False)
        return module(*arguments)
