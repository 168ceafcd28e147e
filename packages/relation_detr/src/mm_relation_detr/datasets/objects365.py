"""Objects365 (https://www.objects365.org), on which the largest Relation-DETR is trained first."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from mmdet.registry import DATASETS

from mmrepro.detection.detr_coco import DetrCocoDataset


@DATASETS.register_module()
class RelationObjects365Dataset(DetrCocoDataset):
    """Objects365 v2 with raw category ids, 1 to 365.

    Not mmdet's ``Objects365V2Dataset``, which labels from 0. The annotations name images by the paths of their
    publisher; here the last folder and the name count (``patch16/objects365_v2_00908726.jpg``).

    Args:
        bad_images: as in :class:`DetrCocoDataset`; a few listed images were never published. Officially a picture
            that cannot be read is replaced by the next without a word; here the log names and counts those that are
            missing, and names those that turn out to be damaged in training. One of another size than annotated is
            trained on, as officially.
        **kwargs: of :class:`DetrCocoDataset`.
    """

    def __init__(self, *args: Any, bad_images: str = "skip_missing", **kwargs: Any) -> None:
        super().__init__(*args, bad_images=bad_images, **kwargs)

    def image_path(self, file_name: str) -> str:
        """Return where an image lies: below its last folder."""
        return super().image_path("/".join(PurePosixPath(file_name).parts[-2:]))
