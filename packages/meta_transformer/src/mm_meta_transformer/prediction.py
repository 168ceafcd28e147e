"""What comes out of the inferencer for one sample, whatever the modality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mm_meta_transformer.readers import Sample


@dataclass(frozen=True)
class TokenLayout:
    """Where a sample's tokens come from.

    Attributes:
        prefix: class tokens and the like before those of the content.
        grid: rows and columns of a picture's or a spectrogram's patches; of a video with the frame groups before.
        centres: of a cloud's groups, ``(N, 3)``, scaled as the model sees them.
        pairs: the one or two nodes that each token of a graph belongs to, ``(N, 2)``.
    """

    prefix: int = 0
    grid: tuple[int, ...] | None = None
    centres: np.ndarray | None = None
    pairs: np.ndarray | None = None


@dataclass(frozen=True)
class MetaPrediction:
    """A prediction; what the task does not give is None.

    Attributes:
        modality: of the sample.
        sample: what was read; ``sample.name`` is what its files are called.
        label, name, score: the best class's number, name and score.
        scores: of all classes ``(K,)``, or of several questions at once where the model answers those.
        classes: the classes' names.
        value: of a regression.
        feature: of length 1, what retrieval compares, ``(C,)``.
        points: the class of each point that the pipeline left, ``(N,)``.
        land_cover: the class of each pixel of a scene, ``(H, W)``.
        forecast: one row for each step, in the series' own units.
        repairs: what had to be changed to read the sample, in words, such as ``"3 pieces cut off"``.
        inputs: what the network read, as tensors without a batch.
        tokens: what the encoder read, without padding, ``(N, C)``; asked for by ``with_tokens``.
        attention: of each head to each token, ``(heads, N)``; asked for by ``with_attention``.
        layout: where tokens come from; there with either.
    """

    modality: str
    sample: Sample = field(repr=False)
    label: int | None = None
    name: str | None = None
    score: float | None = None
    scores: np.ndarray | None = field(default=None, repr=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    value: float | None = None
    feature: np.ndarray | None = field(default=None, repr=False)
    points: np.ndarray | None = field(default=None, repr=False)
    land_cover: np.ndarray | None = field(default=None, repr=False)
    forecast: pd.DataFrame | None = field(default=None, repr=False)
    repairs: tuple[str, ...] = ()
    inputs: Any = field(default=None, repr=False)
    tokens: np.ndarray | None = field(default=None, repr=False)
    attention: np.ndarray | None = field(default=None, repr=False)
    layout: TokenLayout = field(default_factory=TokenLayout, repr=False)

    @property
    def token_norms(self) -> np.ndarray:
        """Lengths of the content's tokens ``(N,)``.

        Raises:
            ValueError: tokens were not asked for.
        """
        if self.tokens is None:
            raise ValueError("the prediction holds no tokens: make it with with_tokens=True")
        return np.linalg.norm(self.tokens[self.layout.prefix :], axis=1)

    @property
    def token_attention(self) -> np.ndarray:
        """Mean over the heads of the attention to the content's tokens ``(N,)``.

        Raises:
            ValueError: attention was not asked for.
        """
        if self.attention is None:
            raise ValueError("the prediction holds no attention: make it with with_attention=True")
        return self.attention.mean(0)[self.layout.prefix :]
