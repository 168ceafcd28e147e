"""SA-Det-100k: class-agnostic boxes of 100,000 pictures of SA-1B (arXiv 2407.11699, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import DATASETS

from mmrepro.detection.detr_coco import DetrCocoDataset

# Files of the first upload, as its users list them: https://github.com/xiuqhou/Relation-DETR/issues/44
UNREADABLE = tuple(
    f"sa_{number}.jpg"
    for number in (11637, 42985, 49974, 40257, 11636, 11633, 11617, 60698, 42234, 12173, 11638)
)  # fmt: skip
TRUNCATED = tuple(f"sa_{number}.jpg" for number in (19136, 57314, 42340, 33979, 11634))


@DATASETS.register_module()
class SADet100kDataset(DetrCocoDataset):
    """SA-Det-100k with one class, ``objects``; images that cannot be read are left out and counted.

    Args:
        bad_images: as in :class:`DetrCocoDataset`. By default every file's ends are looked at (two reads per file),
            and pictures of another size than annotated are trained on, as officially.
        known_bad_images: files that are left out unread; ``()`` if yours have been replaced by the repaired ones.
        **kwargs: of :class:`DetrCocoDataset`.
    """

    def __init__(
        self,
        *args: Any,
        bad_images: str = "skip",
        known_bad_images: Sequence[str] = (*UNREADABLE, *TRUNCATED),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, bad_images=bad_images, known_bad_images=known_bad_images, **kwargs)
