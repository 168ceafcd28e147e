"""Generated pictures as a data set: the config of the quickstart and the tiny versions of all others read them."""

from __future__ import annotations

from typing import Any

from mmengine.registry import DATASETS

from mm_hat.datasets.paired import BasicImageDataset
from mmrepro.datasets.generated.textures import texture_folder


@DATASETS.register_module()
class GeneratedImageDataset(BasicImageDataset):
    """``BasicImageDataset`` of generated pictures; the pipeline makes the low-resolution ones.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.textures.texture_folder`.
        kwargs: everything else as in :class:`BasicImageDataset`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(data_prefix=dict(gt=str(texture_folder(**(generate or {})))), **kwargs)
