"""The CTI blocks: information goes from convolutional tokens to the ViT and back, by deformable attention.

Paper: ViT-CoMer (arXiv 2403.07392), section 3.3. Official code: Traffic-X/ViT-CoMer @ b57f386, comer_modules.py
(Apache-2.0), whose parameter names are kept; what it does differs from the paper's text, and the code wins. Below, `x`
are ViT tokens (B, HW, C) and `c` tokens of the convolutional branch (B, N, C) at strides 8, 16 and 32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mm_vit_comer.models.token_ffn import MRFP
from mmrepro.dense.interaction_sizes import InteractionSizes
from mmrepro.dense.token_levels import TokenLevels, to_map, to_tokens


class _LevelAttention(nn.Module):
    """Deformable attention among the tokens of all levels, and a convolutional FFN with residual.

    Args:
        sizes: widths and rates.
    """

    def __init__(self, sizes: InteractionSizes):
        super().__init__()
        self.query_norm = sizes.norm()
        self.feat_norm = sizes.norm()
        self.attn = sizes.attention()
        self.ffn = sizes.ffn()
        self.ffn_norm = sizes.norm()
        self.drop_path = DropPath(sizes.drop_path)

    def attend(self, query: Tensor, feat: Tensor, levels: TokenLevels) -> Tensor:
        """Return what the tokens of `query` gather from those of `feat`, both (B, N, C), without residual."""
        return self.attn.attend(
            self.query_norm(query),
            self.feat_norm(feat),
            levels.reference_points,
            levels.spatial_shapes,
            levels.level_start_index,
        )

    def add_ffn(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Return tokens (B, N, C) with their FFN added."""
        return tokens + self.drop_path(self.ffn(self.ffn_norm(tokens), levels))


class MultiscaleExtractor(_LevelAttention):
    """Attention among the levels with residual, then the FFN with residual.

    Args:
        sizes: widths and rates.
    """

    def forward(self, query: Tensor, feat: Tensor, levels: TokenLevels) -> Tensor:
        """Return the query tokens (B, N, C) with what they gathered from `feat` (B, N, C)."""
        return self.add_ffn(query + self.attend(query, feat, levels), levels)


class CTIToV(_LevelAttention):
    """Give the ViT what its convolutional neighbours gather: x + gamma * (sum of the three levels at stride 16).

    Args:
        sizes: widths and rates.
        init_values: where ``gamma`` begins; with 0 a fresh model's ViT is that of its pre-training.
    """

    def __init__(self, sizes: InteractionSizes, init_values: float = 0.0):
        super().__init__(sizes)
        self.gamma = nn.Parameter(torch.full((sizes.embed_dim,), init_values))

    def forward(self, x: Tensor, c: Tensor, levels: TokenLevels) -> Tensor:
        """Return the ViT tokens (B, HW, C); `c` stays as it is."""
        gathered = self.add_ffn(self.attend(c, c, levels), levels)
        fine, middle, coarse = levels.split(gathered)
        # The official bilinear halving without aligned corners is this mean of 2 x 2.
        fine = F.avg_pool2d(to_map(fine, *levels.sizes[0]), 2)
        coarse = F.interpolate(to_map(coarse, *levels.sizes[2]), scale_factor=2, mode="bilinear", align_corners=False)
        return torch.addcmul(x, self.gamma, middle + to_tokens(fine) + to_tokens(coarse))


class CTIToC(nn.Module):
    """Give the convolutional tokens what the ViT has made: add x at stride 16, then attend among the levels.

    The attention's residual stream is what ``query_norm`` returns: c itself is lost there, as in the official code.

    Args:
        sizes: widths and rates.
        cnn_feature_interaction: attend; without, only x is added, and the norms exist unused.
    """

    def __init__(self, sizes: InteractionSizes, cnn_feature_interaction: bool = True):
        super().__init__()
        self.query_norm = sizes.norm()
        self.feat_norm = sizes.norm()
        self.cfinter = MultiscaleExtractor(sizes) if cnn_feature_interaction else None

    def forward(self, c: Tensor, x: Tensor, levels: TokenLevels) -> Tensor:
        """Return the convolutional tokens (B, N, C)."""
        return self._interact(levels.add_to_level_16(c, x), levels)

    def _interact(self, c: Tensor, levels: TokenLevels) -> Tensor:
        if self.cfinter is None:
            return c
        return self.cfinter(self.query_norm(c), self.feat_norm(c), levels)


class ExtraCTI(CTIToC):
    """:class:`CTIToC` with a convolutional FFN before its attention.

    Args:
        sizes: widths and rates.
        cnn_feature_interaction: attend; see :class:`CTIToC`.
    """

    def __init__(self, sizes: InteractionSizes, cnn_feature_interaction: bool = True):
        super().__init__(sizes, cnn_feature_interaction)
        self.ffn = sizes.ffn()
        self.ffn_norm = sizes.norm()
        self.drop_path = DropPath(sizes.drop_path)

    def forward(self, c: Tensor, x: Tensor, levels: TokenLevels) -> Tensor:
        """Return the convolutional tokens (B, N, C)."""
        c = levels.add_to_level_16(c, x)
        c = c + self.drop_path(self.ffn(self.ffn_norm(c), levels))
        return self._interact(c, levels)


class Interaction(nn.Module):
    """A quarter of the ViT's blocks with the exchange before and after them.

    Args:
        sizes: widths and rates.
        mrfp_hidden: width inside the MRFP; None for none, which only the detection variant without ``CTIToV`` has.
        use_cti_to_v: exchange before the blocks.
        use_cti_to_c: exchange after them.
        cnn_feature_interaction: attend among the levels after the blocks.
        extra_num: number of :class:`ExtraCTI` at the end.
        init_values: where ``gamma`` of the exchange before the blocks begins.
        mrfp_norm_cfg: norm in the MRFP, by default batch norm.
        with_cp: in training compute the exchange again in the backward pass instead of keeping its activations.

    Raises:
        ValueError: the exchange before the blocks has no MRFP.
    """

    def __init__(
        self,
        sizes: InteractionSizes,
        mrfp_hidden: int | None,
        use_cti_to_v: bool = True,
        use_cti_to_c: bool = True,
        cnn_feature_interaction: bool = True,
        extra_num: int = 0,
        init_values: float = 0.0,
        mrfp_norm_cfg: dict | None = None,
        with_cp: bool = False,
    ):
        super().__init__()
        if use_cti_to_v and mrfp_hidden is None:
            raise ValueError("use_cti_to_v=True needs the MRFP: give mrfp_hidden")
        self.with_cp = with_cp
        self.cti_tov = CTIToV(sizes, init_values) if use_cti_to_v else None
        self.cti_toc = CTIToC(sizes, cnn_feature_interaction) if use_cti_to_c else None
        extra = [ExtraCTI(sizes, cnn_feature_interaction) for _ in range(extra_num)]
        self.extra_CTIs = nn.ModuleList(extra) if extra else None
        self.mrfp = None if mrfp_hidden is None else MRFP(sizes.embed_dim, mrfp_hidden, mrfp_norm_cfg)

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
        if self.cti_tov is not None:
            c = self._run(self.mrfp, c, levels)
            c = levels.add_to_level_16(c, x)
            x = self._run(self.cti_tov, x, c, levels)
        x = blocks(x)
        if self.cti_toc is not None:
            c = self._run(self.cti_toc, c, x, levels)
        for extra in self.extra_CTIs or ():
            c = self._run(extra, c, x, levels)
        return x, c

    def _run(self, module: nn.Module, *arguments: Tensor | TokenLevels) -> Tensor:
        if not (self.with_cp and self.training and torch.is_grad_enabled()):
            return module(*arguments)

        def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
            return nullcontext(), _statistics_kept(module)

        return checkpoint(module, *arguments, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let batch norms write to copies of their running statistics: a batch that is computed again counts once."""
    norms = [one for one in module.modules() if isinstance(one, _BatchNorm)]
    own = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, own, strict=True):
        norm._buffers.update({name: one if one is None else one.clone() for name, one in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, own, strict=True):
            norm._buffers.update(buffers)
