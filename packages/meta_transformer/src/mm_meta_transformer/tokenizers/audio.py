"""Tokens of a spectrogram: overlapping square patches (paper, section 3.2; spec of the official audio project)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class AudioTokenizer(BaseModule):
    """A convolution over a filter bank, one token for each place of its kernel, lower frequencies first.

    With ``patch_size=16``, no class token and no position it is the patch embedding of Data2Seq; the published
    Speech Commands model has 32 and a position table, and neither of its class tokens reaches the encoder.

    Args:
        embed_dims: channels of a token.
        patch_size: side of the square kernel, in bins and in frames.
        stride: step of the kernel; or two, along frequency and along time.
        input_size: bins and frames of a spectrogram; needed for the position table, which has one row per token.
        class_token: put a learned token before the others.
        position: ``"learned"``, a table drawn from a normal distribution of deviation 0.02, with a row for the class
            token, too; or ``None``.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the position is unknown or lacks an ``input_size``, or the kernel is larger than that.
    """

    def __init__(
        self,
        embed_dims: int,
        patch_size: int = 16,
        stride: int | tuple[int, int] = 10,
        input_size: tuple[int, int] | None = None,
        class_token: bool = True,
        position: Literal["learned"] | None = "learned",
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if position not in ("learned", None):
            raise ValueError(f"position={position!r} is not known. Fix: 'learned' or None")
        if position and input_size is None:
            raise ValueError("position='learned' needs input_size=(bins, frames): the table has one row per token")
        self.patch_size = patch_size
        self.stride = (stride, stride) if isinstance(stride, int) else tuple(stride)
        self.invisible_settings = {"stride": self.stride}
        self.input_size = None if input_size is None else tuple(input_size)
        self.proj = nn.Conv2d(1, embed_dims, patch_size, self.stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims)) if class_token else None
        self.pos_embed = None
        if position:
            bins, frames = self.grid(*self.input_size)
            self.pos_embed = nn.Parameter(torch.zeros(1, bins * frames + class_token, embed_dims))

    def init_weights(self) -> None:
        """Draw the position table and the class token, then what ``init_cfg`` says."""
        for parameter in (self.pos_embed, self.cls_token):
            if parameter is not None:
                trunc_normal_(parameter, std=0.02)
        super().init_weights()

    def grid(self, bins: int, frames: int) -> tuple[int, int]:
        """Return how many tokens lie along frequency and time.

        Args:
            bins: of a spectrogram.
            frames: of a spectrogram.

        Raises:
            ValueError: the kernel is larger than the spectrogram.
        """
        if min(bins, frames) < self.patch_size:
            raise ValueError(
                f"a spectrogram of {bins} bins and {frames} frames has no patch of {self.patch_size}. "
                "Fix: a longer target_length or more num_bins of FilterBank, or a smaller patch_size"
            )
        rows, columns = self.stride
        return (bins - self.patch_size) // rows + 1, (frames - self.patch_size) // columns + 1

    def forward(self, inputs: Tensor) -> Tokens:
        """Return tokens, frequency-major, with ``grid`` (rows along frequency, columns along time) and ``prefix``.

        Args:
            inputs: ``(B, frames, bins)``, as :class:`.FilterBank` gives them.

        Raises:
            ValueError: the spectrograms have another size than the position table is for.
        """
        if inputs.dim() != 3 or (self.pos_embed is not None and tuple(inputs.shape[:0:-1]) != self.input_size):
            wanted = self.input_size or ("bins", "frames")
            raise ValueError(
                f"inputs are {tuple(inputs.shape)}, the audio tokenizer reads (B, {wanted[1]}, {wanted[0]}). "
                "Fix: target_length and num_bins of FilterBank, or input_size=(bins, frames) of AudioTokenizer"
            )
        grid = self.grid(inputs.shape[2], inputs.shape[1])
        tokens = self.proj(inputs.transpose(1, 2)[:, None]).flatten(2).transpose(1, 2)
        prefix = 0
        if self.cls_token is not None:
            tokens, prefix = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), 1), 1
        if self.pos_embed is not None:
            tokens = tokens + self.pos_embed
        return Tokens(tokens, None, {"grid": grid, "prefix": prefix})
