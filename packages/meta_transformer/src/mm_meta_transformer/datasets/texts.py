"""What data sets of texts share: the vocabulary, and texts that are longer than the context."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.vocabulary import Vocabulary, build_vocabulary


class TextError(DataError):
    """A text cannot be used; the error names the file, the line and the fix."""


class TextDataset(BaseDataset):
    """Texts, or pairs of them, as numbers of word pieces: ``ids`` ``(N,)``, ``gt_label``, ``text`` and ``path``.

    Two texts are one after the other with a separator between them. The pieces of a vocabulary that was learned or
    read are in ``metainfo["pieces"]``, so that a checkpoint holds them.

    Args:
        vocabulary: see :func:`.build_vocabulary`.
        max_length: the context length in pieces.
        too_long: ``"cut"``, the end of a longer text is left out (of the longer text, of two), and the log says of how
            many; ``"error"``, it is an error.
        kwargs: as in mmengine's BaseDataset.

    Raises:
        TextError: a text is empty, or too long where that is an error.
        DataError: ``too_long`` is unknown; or see :func:`.build_vocabulary`.
    """

    def __init__(
        self,
        *args: Any,
        vocabulary: dict[str, Any],
        max_length: int = 128,
        too_long: Literal["cut", "error"] = "cut",
        **kwargs: Any,
    ) -> None:
        if too_long not in ("cut", "error"):
            raise DataError(f"too_long={too_long!r} is not known. Fix: 'cut' or 'error'")
        self.vocabulary_config, self.max_length, self.too_long = dict(vocabulary), max_length, too_long
        super().__init__(*args, **kwargs)

    @abstractmethod
    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield for each sample ``texts``, one or two, ``gt_label`` and ``path``, where it stands."""

    @abstractmethod
    def training_texts(self) -> Iterator[str]:
        """Yield the texts that a vocabulary is learned of: those of the training part."""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the samples; the log counts the texts that were cut."""
        vocabulary = build_vocabulary(self.vocabulary_config, self.training_texts())
        if hasattr(vocabulary, "pieces"):
            self._metainfo["pieces"] = vocabulary.pieces
        samples, cut = [], 0
        for row in self.rows():
            ids, beyond = text_ids(row["texts"], vocabulary, self.max_length, row["path"])
            if beyond and self.too_long == "error":
                raise TextError(
                    f"{row['path']}: {len(ids) + beyond} pieces, the context has {self.max_length}. "
                    "Fix: max_length, or too_long='cut'"
                )
            cut += beyond > 0
            samples.append({"ids": ids, "text": " | ".join(row["texts"]), **{k: row[k] for k in ("gt_label", "path")}})
        if cut:
            print_log(
                f"{type(self).__name__}: {cut} of {len(samples)} texts are cut to {self.max_length} pieces", "current"
            )
        return samples


def text_ids(texts: Sequence[str], vocabulary: Vocabulary, max_length: int, path: str) -> tuple[np.ndarray, int]:
    """Return the numbers ``(N,)`` of one or several texts, and how many were cut off to make them fit.

    The end of the longer text is cut; several are one after the other with a separator between them.

    Args:
        texts: which.
        vocabulary: which numbers the pieces.
        max_length: the context length in pieces.
        path: what an error calls the texts.

    Raises:
        TextError: a text is empty.
    """
    pieces = [vocabulary.encode(text) for text in texts]
    if not all(pieces):
        raise TextError(f"{path}: a text is empty. Fix: leave it out")
    room, cut = max_length - (len(pieces) - 1), 0
    while sum(map(len, pieces)) > room:
        max(pieces, key=len).pop()
        cut += 1
    first, *others = pieces
    joined = [*first, *(number for other in others for number in (vocabulary.separator, *other))]
    return np.array(joined, np.int64), cut
