"""Speech Commands V2: one of 35 words in a second of sound (Warden, arXiv 1804.03209)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.audio_files import AudioFilesDataset
from mm_meta_transformer.datasets.data_error import DataError

WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy"),
    *("house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop"),
    *("three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)
LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}


@DATASETS.register_module()
class SpeechCommandsDataset(AudioFilesDataset):
    """The files of ``speech_commands_v0.02``, split by its own lists; training has those that are in neither list.

    All 35 words are classes, in alphabetical order. The long recordings of noise are not used.

    Args:
        data_root: the unpacked archive.
        split: 84,843 files of training, 9,981 of validation, 11,005 of the test.
        kwargs: as in :class:`.AudioFilesDataset`.

    Raises:
        FileNotFoundError: a list is missing.
        DataError: the split is unknown, or a list names files that are not there.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": WORDS}

    def __init__(self, data_root: str, split: Literal["train", "val", "test"], **kwargs: Any) -> None:
        if split not in ("train", *LISTS):
            raise DataError(f"split={split!r} is not known. Fix: train, {', '.join(LISTS)}")
        self.split = split
        super().__init__(data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one dict for each file of the split."""
        root = Path(self.data_root)
        listed = {split: _listed(root / name) for split, name in LISTS.items()}
        found = super().load_data_list()
        if self.split == "train":
            others = set().union(*listed.values())
            return [info for info in found if _name(info) not in others]
        wanted = {name for name in listed[self.split] if name.split("/")[0] in self._metainfo["classes"]}
        found = [info for info in found if _name(info) in wanted]
        absent = sorted(wanted - {_name(info) for info in found})
        if absent:
            raise DataError(
                f"{root / LISTS[self.split]} names {absent[0]} and {len(absent) - 1} other files that are missing. "
                "Fix: unpack the archive again"
            )
        return found


def _name(info: dict[str, Any]) -> str:
    return "/".join(Path(info["path"]).parts[-2:])


def _listed(path: Path) -> set[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: it says which files are whose. Fix: unpack the whole archive speech_commands_v0.02"
        )
    return set(path.read_text(encoding="utf-8").split())
