"""Good pictures, and the random kernels that will spoil them: the training data of Real-HAT.

Source: ``RealESRGANDataset`` of XPixelGroup/HAT @ 1638a9a, hat/data/realesrgan_dataset.py. The degradation itself runs
on batches, on the device: ``RealESRGANDegradation``. Changed here: the list of files is read (officially the real
configs name it by a key that nobody reads); a file that cannot be opened is replaced by one that exists (officially the
index may lie one behind the last); pictures stay 8-bit on their way to the device, a quarter of the bytes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from mm_hat.datasets import image_io, lmdb_images
from mm_hat.datasets.degradation_kernels import (
    FULL_SIZE,
    KINDS,
    PROBABILITIES,
    SIZES,
    BlurSettings,
    Range,
    random_final_sinc,
)
from mm_hat.datasets.paired import image_files, read_list, resolve_root


@DATASETS.register_module()
class RealESRGANDataset(Dataset):
    """Random crops of good pictures, each with the three kernels of its degradation.

    A sample is a dict: ``gt`` (3, s, s) uint8 RGB with s = crop_pad_size, ``kernel1``, ``kernel2``, ``sinc_kernel``
    (21, 21) float32, ``gt_path``. The trailing 2 means the second degradation; the names are the official options'.

    Args:
        data_root: the folder of both; a relative one is also looked for in ``$MMREPRO_DATA_ROOT`` and ``./data``.
        data_prefix: ``gt``: folder of the pictures, which is searched through, or an LMDB folder (``<name>.lmdb``).
        ann_file: a list of the pictures to use, a path below ``gt`` a line, optionally followed by ``(h,w,c)``.
        crop_pad_size: side of the crop; smaller pictures are mirrored at the bottom and the right until they have it.
        use_hflip: mirror half of the pictures left to right.
        use_rot: mirror half of them top to bottom, and exchange height and width of half of them.
        blur_kernel_size, blur_kernel_size2: side that kernels are padded to.
        kernel_list, kernel_list2, kernel_prob, kernel_prob2: kinds of blur and their weights.
        sinc_prob, sinc_prob2: probability of a sinc instead.
        blur_sigma, blur_sigma2, betag_range, betag_range2, betap_range, betap_range2: what the kernels are drawn from.
        final_sinc_prob: probability that the last filter is a sinc; it does nothing otherwise.
        kernel_sizes: odd sides to choose from.
        max_refetch: how often another picture is tried for one that the file system does not deliver.

    Raises:
        FileNotFoundError: there is no such folder or list, or no picture; from ``[index]``: a listed one is not there.
        ImageReadError: from ``[index]``: a file is not a picture that can be read completely.
        ValueError: the list has a line without a picture, or an option has no meaning.
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: dict[str, str] | None = None,
        ann_file: str = "",
        *,
        crop_pad_size: int = 400,
        use_hflip: bool = True,
        use_rot: bool = False,
        blur_kernel_size: int = FULL_SIZE,
        kernel_list: Sequence[str] = KINDS,
        kernel_prob: Sequence[float] = PROBABILITIES,
        sinc_prob: float = 0.1,
        blur_sigma: Range = (0.2, 3.0),
        betag_range: Range = (0.5, 4.0),
        betap_range: Range = (1.0, 2.0),
        blur_kernel_size2: int = FULL_SIZE,
        kernel_list2: Sequence[str] = KINDS,
        kernel_prob2: Sequence[float] = PROBABILITIES,
        sinc_prob2: float = 0.1,
        blur_sigma2: Range = (0.2, 1.5),
        betag_range2: Range = (0.5, 4.0),
        betap_range2: Range = (1.0, 2.0),
        final_sinc_prob: float = 0.8,
        kernel_sizes: Sequence[int] = SIZES,
        max_refetch: int = 3,
    ) -> None:
        if crop_pad_size < 1:
            raise ValueError(f"crop_pad_size={crop_pad_size} must be at least 1")
        self.crop_pad_size, self.max_refetch = crop_pad_size, max_refetch
        self.use_hflip, self.use_rot = use_hflip, use_rot
        self.blurs = (
            BlurSettings(
                blur_kernel_size,
                kernel_list,
                kernel_prob,
                sinc_prob,
                blur_sigma,
                betag_range,
                betap_range,
                kernel_sizes,
            ),
            BlurSettings(
                blur_kernel_size2,
                kernel_list2,
                kernel_prob2,
                sinc_prob2,
                blur_sigma2,
                betag_range2,
                betap_range2,
                kernel_sizes,
            ),
        )
        self.final_sinc_prob, self.kernel_sizes = final_sinc_prob, kernel_sizes
        root = Path(resolve_root(data_root))
        self.folder = str(root / (data_prefix or {}).get("gt", ""))
        self.paths = _listed(self.folder, read_list(root / ann_file)) if ann_file else _all(self.folder)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        image, path = self._read(index, self.max_refetch)
        # The draws' order is the recipe's: flips, crop, first, second and last kernel.
        image = self._cropped(self._flipped(image))
        kernel1, kernel2 = (blur.draw() for blur in self.blurs)
        sinc = random_final_sinc(self.final_sinc_prob, self.kernel_sizes, self.blurs[0].blur_kernel_size)
        return {
            "gt": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "kernel1": torch.from_numpy(kernel1).float(),
            "kernel2": torch.from_numpy(kernel2).float(),
            "sinc_kernel": torch.from_numpy(sinc).float(),
            "gt_path": path,
        }

    def _read(self, index: int, retries: int) -> tuple[np.ndarray, str]:
        """Return a picture (H, W, 3) and its path: that of the index, or another if its file cannot be opened."""
        try:
            return _picture(self.paths[index])
        except FileNotFoundError:
            raise
        except OSError as fault:  # a file server that is busy, say
            if not retries:
                raise
            print_log(f"{self.paths[index]} cannot be read ({fault}); taking another", "current", logging.WARNING)
        return self._read(random.randrange(len(self.paths)), retries - 1)

    def _flipped(self, image: np.ndarray) -> np.ndarray:
        if self.use_hflip and random.random() < 0.5:
            image = image[:, ::-1]
        if self.use_rot:
            vertical, transposed = random.random() < 0.5, random.random() < 0.5
            image = image[::-1] if vertical else image
            image = image.swapaxes(0, 1) if transposed else image
        return image

    def _cropped(self, image: np.ndarray) -> np.ndarray:
        side, (h, w) = self.crop_pad_size, image.shape[:2]
        rows, columns = mirrored(h, max(h, side)), mirrored(w, max(w, side))
        if h > side or w > side:
            top, left = random.randint(0, len(rows) - side), random.randint(0, len(columns) - side)
            rows, columns = rows[top : top + side], columns[left : left + side]
        return image[rows[:, None], columns]


def mirrored(size: int, wanted: int) -> np.ndarray:
    """Return which of ``size`` pixels stands at each of ``wanted`` places when the edges are mirrors: 0 1 2 1 0 1 2.

    The edge pixel itself is not repeated (OpenCV's BORDER_REFLECT_101).
    """
    place = np.arange(wanted) % max(2 * (size - 1), 1)
    return np.minimum(place, 2 * (size - 1) - place)


def _picture(path: str) -> tuple[np.ndarray, str]:
    inside = lmdb_images.split(path)
    content = lmdb_images.read(*inside) if inside else Path(path).read_bytes()
    return image_io.decode_rgb(content, path), path


def _all(folder: str) -> list[str]:
    if folder.endswith(lmdb_images.SUFFIX):
        return [f"{folder}/{key}" for key in lmdb_images.keys(folder)]
    return [str(path) for path in image_files(folder)]


def _listed(folder: str, names: list[str]) -> list[str]:
    if folder.endswith(lmdb_images.SUFFIX):
        names = [Path(name).with_suffix("").as_posix() for name in names]
    return [f"{folder}/{name}" for name in names]
