"""Pictures: photographs, infrared pictures and X-rays, from files, folders, URLs and arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmpretrain.registry import TRANSFORMS

from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.datasets.registry import PICTURE_SUFFIXES
from mmrepro.engine.errors import UserError
from mmrepro.pictures import pixels, single, stem_of


class PictureReader(Reader):
    """Read pictures: files, or arrays ``(H, W, 3)`` uint8, blue first, or ``(H, W)`` uint8.

    A picture is resized to the tokenizer's size where the test pipeline does not do that. A model of pictures without
    files (the digits') takes grey values from -1 to 1 too, ``(1, H, W)`` float32.
    """

    modality = "image"
    suffixes = tuple(PICTURE_SUFFIXES)

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the steps after the one that loads a file."""
        size = self.model.tokenizer.get("img_size", 224)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.loader = None
        if pipeline and pipeline[0]["type"].startswith("LoadImage"):
            self.loader, *pipeline = pipeline
        self.resized = not any(word in step["type"] for step in pipeline for word in ("Resize", "Crop"))
        return pipeline

    def sources(self, inputs: Any) -> list[Any]:
        """Return the pictures; a URL is one."""
        return [str(one) if isinstance(one, Path) else one for one in super().sources(inputs)]

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a picture's file, or its values where there is none."""
        info = dataset.get_data_info(number)
        return info.get("img_path", info.get("img")), {}

    def read(self, source: Any, name: str) -> Iterator[Sample]:
        """Yield the picture.

        Raises:
            UserError: it cannot be read, or has another type or shape.
        """
        if isinstance(source, str):
            name = stem_of(source)
        if self.loader is None and isinstance(source, np.ndarray) and source.dtype.kind == "f":
            if source.shape != (1, *self.size) or not np.abs(source).max() <= 1:
                raise UserError(
                    f"{name} is {source.shape} in {source.dtype}. Fix: (1, {self.size[0]}, {self.size[1]}) from -1 "
                    "to 1, or a picture in uint8"
                )
            grey = np.uint8(np.rint((source[0] + 1) * 127.5))
            yield Sample(name, {"img": source.astype(np.float32), "path": name}, {"picture": _rgb(grey)})
            return
        found = self._loaded(source)
        raw = {"picture": _rgb(found)}
        if self.resized and found.shape[:2] != self.size:
            found = mmcv.imresize(found, self.size[::-1])
        if self.loader is None:
            found = (_grey(found) / np.float32(127.5) - 1)[None]
        results = {"img": found, "img_shape": found.shape[:2], "ori_shape": raw["picture"].shape[:2]}
        results["img_path"] = source if isinstance(source, str) else name
        yield Sample(name, results, raw)

    def _loaded(self, source: Any) -> np.ndarray:
        """Return a picture as the config's loader would: blue first or grey."""
        if isinstance(source, np.ndarray) and source.ndim == 2:
            source = np.repeat(source[..., None], 3, 2)
        checked = single(source)
        grey = self.loader is not None and self.loader.get("color_type", "color") == "grayscale"
        if isinstance(checked, str) and self.loader is not None and "://" not in checked:
            return TRANSFORMS.build(self.loader)({"img_path": str(existing(checked))})["img"]
        return _grey(pixels(checked)) if grey else pixels(checked)


def _grey(picture: np.ndarray) -> np.ndarray:
    return picture if picture.ndim == 2 else mmcv.bgr2gray(picture)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1])
