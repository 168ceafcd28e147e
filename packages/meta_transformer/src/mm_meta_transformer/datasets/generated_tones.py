"""Generated tones as a data set of sound files, for tests and tiny versions of configs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.audio_files import AudioFilesDataset
from mmrepro.datasets.generated.tones import KINDS, tones_folder


@DATASETS.register_module()
class GeneratedTonesDataset(AudioFilesDataset):
    """Files of :func:`mmrepro.datasets.generated.tones.tones_folder`, which are written first.

    Args:
        part: ``"train"`` or ``"test"``.
        generate: arguments of ``tones_folder``.
        kwargs: as in :class:`.AudioFilesDataset`.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": KINDS}

    def __init__(
        self, part: Literal["train", "test"] = "train", generate: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(str(tones_folder(**(generate or {})) / part), **kwargs)
