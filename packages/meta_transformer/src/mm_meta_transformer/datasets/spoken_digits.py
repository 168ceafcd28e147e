"""The Free Spoken Digit Dataset: English digits, 8,000 samples a second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.audio_files import AudioFilesDataset
from mm_meta_transformer.datasets.data_error import DataError

DIGITS = tuple("0123456789")
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.wav")


@DATASETS.register_module()
class SpokenDigitsDataset(AudioFilesDataset):
    """The files ``<digit>_<speaker>_<take>.wav`` of one folder, split by take, so that every speaker is in every part.

    The data set's authors test on takes 0 to 4 and train on the others.

    Args:
        data_root: the folder of the recordings.
        takes: numbers of the takes; all by default.
        speakers: names of the speakers; all by default.
        kwargs: as in :class:`.AudioFilesDataset`.

    Raises:
        DataError: a file has another name, or none is of these takes and speakers.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": DIGITS}

    def __init__(
        self,
        data_root: str,
        takes: Sequence[int] | None = None,
        speakers: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.takes = None if takes is None else set(takes)
        self.speakers = None if speakers is None else set(speakers)
        super().__init__(data_root, **kwargs)

    def files_of(self, root: Path, name: str) -> list[Path]:
        """Return the sorted files of one digit.

        Args:
            root: the data set's folder.
            name: the digit.
        """
        return [path for path in sorted(root.glob("*.wav")) if self._wanted(path, name)]

    def selection(self) -> str:
        """Return which takes and speakers were looked for."""
        return f" by takes={sorted(self.takes or [])} and speakers={sorted(self.speakers or [])} (none: all)"

    def _wanted(self, path: Path, digit: str) -> bool:
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise DataError(f"{path} is not named <digit>_<speaker>_<take>.wav. Fix: take it out of the folder")
        return (
            match["digit"] == digit
            and (self.takes is None or int(match["take"]) in self.takes)
            and (self.speakers is None or match["speaker"] in self.speakers)
        )
