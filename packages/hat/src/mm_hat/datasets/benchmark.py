"""The test sets of super-resolution: Set5, Set14, BSD100, Urban100, Manga109, in the layouts in which they go around.

Protocol of HAT (arXiv 2205.04437, Section 4.1) and its authors' answers (XPixelGroup/HAT issue 49): the truth is cut to
a multiple of the scale, the low-resolution image is MATLAB's bicubic one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmrepro.datasets.registry import data_roots

from .image_io import SUFFIXES

STORED = "stored"
REGENERATED = "regenerated (uint8, replicate border)"
DEGRADED = "degraded while testing"  # at scale 1
# SelfExSR's folder of this set for x2 holds truths of half the size, and there is none for x3; the benchmark uses the
# full ones, those of x4.
HALF_SIZE = {("Urban100", 1), ("Urban100", 2), ("Urban100", 3)}
_SELFEXSR = re.compile(r"(?P<key>img_\d+)_SRF_\d+_HR")


@DATASETS.register_module()
class SRBenchmarkDataset(BaseDataset):
    """One test set at one scale; where no low-resolution images are stored they are made from the truth.

    Below ``<data root>/sr/<name>``, ``<data root>/<name>`` or ``data_root`` itself, the first of these that is there:

    - ``image_SRF_<s>/img_001_SRF_<s>_HR.png`` and ``_LR.png`` (SelfExSR)
    - ``GTmod<s>/<key>.png`` and ``LRbicx<s>/<key>.png``, or ``<key>x<s>.png`` (BasicSR, HAT)
    - ``HR/<key>.png`` and ``LR_bicubic/X<s>/<key>x<s>.png`` (EDSR)
    - ``GT/<key>.png``, ``HR/<key>.png`` or ``original/<key>.png`` alone; at scale 1 also ``<key>.png`` alone

    Urban100 at other scales than 4 comes from SelfExSR's ``image_SRF_4``, whose truths have the full size.

    Args:
        name: the set, which is its folder's name.
        scale: 2, 3, 4 or 8; 1 for truths that the pipeline degrades.
        data_root: where the folder of the set is; by default ``$MMREPRO_DATA_ROOT`` and ``./data``.
        pipeline: other transforms than :func:`benchmark_pipeline`.
        **kwargs: as mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: the set is in none of the places, which are listed.
        ValueError: a layout has low-resolution images for a part of its truths only.
    """

    def __init__(
        self, name: str, scale: int, data_root: str | None = None, pipeline: list | None = None, **kwargs: Any
    ) -> None:
        self.name, self.scale = name, scale
        self.pairs, self.lr_source = find_pairs(name, scale, data_root)
        if pipeline is None:
            pipeline = benchmark_pipeline(scale, self.lr_source)
        super().__init__(pipeline=pipeline, data_prefix={}, test_mode=True, serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return ``key``, ``gt_path``, ``img_path`` where it is stored, ``scale`` and ``lr_source`` of every image."""
        extra = {"scale": self.scale, "lr_source": self.lr_source}
        samples = [{"key": key, "gt_path": str(truth), **extra} for key, truth, _ in self.pairs]
        for sample, (_, _, low) in zip(samples, self.pairs, strict=True):
            if low is not None:
                sample["img_path"] = str(low)
        return samples


def benchmark_pipeline(scale: int, lr_source: str = STORED) -> list[dict]:
    """Return the official transforms of a test; without stored low-resolution images they are made as those are."""
    if lr_source == STORED:
        low = [dict(type="SRLoadImageFromFile", key="img"), dict(type="SRCropLike", scale=scale)]
    else:
        resize = dict(type="SRMATLABLikeResize", scale=scale, mode="uint8", border="replicate")
        low = [dict(type="SRModCrop", scale=scale), resize]
    return [dict(type="SRLoadImageFromFile", key="gt"), *low, dict(type="SRPackInputs")]


def find_pairs(
    name: str, scale: int, data_root: str | Path | None = None
) -> tuple[list[tuple[str, Path, Path | None]], str]:
    """Look for a test set.

    Returns:
        Key, truth and low-resolution file (or None) of every image, and where the latter come from.

    Raises:
        FileNotFoundError, ValueError: as :class:`SRBenchmarkDataset`.
    """
    places = [Path(data_root)] if data_root else []
    roots = places if data_root else data_roots()
    places += [root / part for root in roots for part in (f"sr/{name}", name)]
    for place in filter(Path.is_dir, places):
        pairs = _selfexsr(place, name, scale) or _basicsr(place, scale) or _edsr(place, scale) or _truths(place, scale)
        if pairs:
            stored = [low is not None for _, _, low in pairs]
            if any(stored) and not all(stored):
                lonely = pairs[stored.index(False)][1]
                raise ValueError(
                    f"{lonely} has no low-resolution image, others in its folder do. Fix: complete the set"
                )
            return pairs, DEGRADED if scale == 1 else STORED if all(stored) else REGENERATED
    raise FileNotFoundError(
        f"{name} at scale {scale} was not found; searched {', '.join(map(str, places))}. Fix: see `mmrepro data list`, "
        "pass data_root, or set $MMREPRO_DATA_ROOT"
    )


Pairs = list[tuple[str, Path, "Path | None"]]


def _selfexsr(place: Path, name: str, scale: int) -> Pairs:
    full = (name, scale) in HALF_SIZE
    folder = place / f"image_SRF_{4 if full else scale}"
    pairs = []
    for truth in _pictures(folder):
        match = _SELFEXSR.fullmatch(truth.stem)
        if match:
            low = truth.with_name(truth.name.replace("_HR", "_LR"))
            pairs.append((match["key"], truth, low if low.is_file() and not full else None))
    return pairs


def _basicsr(place: Path, scale: int) -> Pairs:
    return _beside(_pictures(place / f"GTmod{scale}"), place / f"LRbicx{scale}", scale)


def _edsr(place: Path, scale: int) -> Pairs:
    low = place / "LR_bicubic" / f"X{scale}"
    return _beside(_pictures(place / "HR"), low, scale) if low.is_dir() else []


def _truths(place: Path, scale: int) -> Pairs:
    folders = ("GT", "HR", "original", *(["."] if scale == 1 else []))
    found = next(filter(None, (_pictures(place / folder) for folder in folders)), [])
    return [(path.stem, path, None) for path in found]


def _beside(truths: list[Path], folder: Path, scale: int) -> Pairs:
    low = {path.stem: path for path in _pictures(folder)}
    return [(path.stem, path, low.get(path.stem) or low.get(f"{path.stem}x{scale}")) for path in truths]


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
