"""Labelled pixels of one hyperspectral scene with a fixed split, Indian Pines for example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.hyperspectral_scene import (
    SceneError,
    labelled_pixels,
    mirrored,
    pixel_bands,
    read_scene,
    scaled,
)
from mm_meta_transformer.datasets.seeded_split import SeededSplit
from mmrepro.datasets.generated.spectra import spectra_file


@DATASETS.register_module()
class HyperspectralDataset(BaseDataset):
    """The pixels of a scene that are labelled for training or for testing.

    A sample has ``bands`` ``(bands, p * p * b)`` float32, ``gt_label``, and ``row`` and ``column`` of its pixel.
    Each band is scaled to 0..1 over the whole scene, as officially, so the test pixels have a say in the scale; it is
    ``low`` and ``high`` of ``metainfo``. Without ``classes`` the classes are called by their numbers in the label maps.

    A scene that has one label map and no fixed split, as Indian Pines is handed out by its makers, is split by a seed::

        dict(type="HyperspectralDataset", split="train", ann_file="Indian_pines_corrected.mat",
             gt_file="Indian_pines_gt.mat", keys=("indian_pines_corrected", "indian_pines_gt"), split_seed=0)

    What is measured on such a split cannot be compared with the paper's numbers.

    Args:
        ann_file: the ``.mat`` file, below ``data_root`` if that is given.
        split: ``"train"`` or ``"test"``.
        patch_size: pixels of a patch's side, odd.
        near_bands: bands of a token, odd: the band itself and its neighbours.
        num_bands: how many bands the scene must have; ``None`` for any number.
        num_classes: how many classes it must have; ``None`` for any number.
        keys: the variables of the file: picture, labels of training and of testing; with ``split_seed`` picture and
            labels.
        split_seed: draw the training pixels from one label map, the same for both splits; see :class:`.SeededSplit`.
        gt_file: the ``.mat`` file of that map, below ``data_root`` if that is given; ``ann_file`` by default.
        train_per_class: how many training pixels are drawn of every class, or one number for each class; by default
            numbers that make 695 of Indian Pines.
        kwargs: everything else as in :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: no such file.
        SceneError: the file is no such scene, or has another number of bands or classes.
        DataError: an option has no meaning.
    """

    def __init__(
        self,
        ann_file: str,
        split: Literal["train", "test"],
        patch_size: int = 1,
        near_bands: int = 1,
        num_bands: int | None = None,
        num_classes: int | None = None,
        keys: Sequence[str] = ("input", "TR", "TE"),
        split_seed: int | None = None,
        gt_file: str | None = None,
        train_per_class: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"split={split!r} is not known. Fix: 'train' or 'test'")
        if split_seed is None and (gt_file is not None or train_per_class is not None or len(keys) != 3):
            raise DataError(
                f"keys={tuple(keys)}, gt_file={gt_file!r} and train_per_class={train_per_class} are those of a scene "
                "without a fixed split. Fix: split_seed=0 for pixels drawn from that seed, whose results are not "
                "comparable with the paper's; or the file with the fixed split and its keys, input, TR and TE"
            )
        if split_seed is not None and len(keys) != 2:
            raise DataError(
                f"keys={tuple(keys)} with split_seed={split_seed}. Fix: the names of the picture and of its one label "
                "map, keys=('indian_pines_corrected', 'indian_pines_gt') for example"
            )
        self.split_seed, self.gt_file = split_seed, gt_file
        self.train_per_class = tuple(train_per_class) if isinstance(train_per_class, Sequence) else train_per_class
        self.split, self.patch_size, self.near_bands, self.keys = split, patch_size, near_bands, tuple(keys)
        self.num_bands, self.num_classes = num_bands, num_classes
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return row, column and label of each pixel; its bands are cut out when they are asked for."""
        scene = read_scene(self.ann_file, self.keys, self._seeded_split())
        bands, classes = scene.picture.shape[2], int(max(scene.train.max(), scene.test.max()))
        for name, found, wanted in (("bands", bands, self.num_bands), ("classes", classes, self.num_classes)):
            if wanted is not None and found != wanted:
                raise SceneError(
                    f"{scene.path} has {found} {name}, not {wanted}. Fix: num_{name} of the data set and of the model, "
                    "or another file"
                )
        self._metainfo.setdefault("classes", [str(number + 1) for number in range(classes)])
        low, high = scene.picture.min((0, 1)), scene.picture.max((0, 1))
        self._metainfo |= dict(low=low.astype(float).tolist(), high=high.astype(float).tolist())
        self._picture = mirrored(scaled(scene.picture, scene.path), self.patch_size)
        places, labels = labelled_pixels(getattr(scene, self.split))
        return [
            dict(row=row, column=column, gt_label=label)
            for (row, column), label in zip(places.tolist(), labels.tolist(), strict=True)
        ]

    def _seeded_split(self) -> SeededSplit | None:
        if self.split_seed is None:
            return None
        file = self.ann_file if self.gt_file is None else Path(self.data_root or "", self.gt_file)
        return SeededSplit(Path(file), self.split_seed, self.train_per_class)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return one sample before its pipeline."""
        info = super().get_data_info(idx)
        bands = pixel_bands(self._picture, info["row"], info["column"], self.patch_size, self.near_bands)
        return info | dict(bands=np.ascontiguousarray(bands))


@DATASETS.register_module()
class GeneratedSpectraDataset(HyperspectralDataset):
    """``HyperspectralDataset`` of a generated scene, written to a file and read from it.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.spectra.spectra_file`.
        kwargs: everything else as in :class:`HyperspectralDataset`.
    """

    def __init__(self, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(ann_file=str(spectra_file(**(generate or {}))), **kwargs)
