"""Sentences of drawn words with an opinion, for tests and tiny versions of configs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.texts import TextDataset

NEUTRAL = ("the", "film", "story", "and", "a", "cast", "of", "this", "music", "scene")
OPINIONS = (("dull", "bleak", "tired", "clumsy"), ("charming", "moving", "witty", "fresh"))


@DATASETS.register_module()
class GeneratedSentencesDataset(TextDataset):
    """Neutral words with one of a negative or positive word list among them; ``gt_label`` says of which.

    Args:
        count: number of sentences.
        seed: of all of them.
        texts: 1, or 2 for pairs, where the label says whether the two opinions are the same.
        kwargs: as in :class:`.TextDataset`.
    """

    METAINFO: ClassVar[dict] = {"classes": ("negative", "positive")}

    def __init__(self, count: int = 8, seed: int = 0, texts: int = 1, **kwargs: Any) -> None:
        self.count, self.seed, self.texts = count, seed, texts
        super().__init__(serialize_data=False, **kwargs)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the sentences."""
        random = np.random.default_rng(self.seed)
        for number in range(self.count):
            opinions = random.integers(2, size=self.texts)
            label = opinions[0] if self.texts == 1 else opinions[0] == opinions[1]
            texts = [_sentence(random, opinion) for opinion in opinions]
            yield {"texts": texts, "gt_label": int(label), "path": f"sentence {number}"}

    def training_texts(self) -> Iterator[str]:
        """Yield the texts of all sentences."""
        return (text for row in self.rows() for text in row["texts"])


def _sentence(random: np.random.Generator, opinion: int) -> str:
    words = list(random.choice(NEUTRAL, size=random.integers(3, 9)))
    words.insert(int(random.integers(len(words) + 1)), str(random.choice(OPINIONS[opinion])))
    return " ".join(words)
