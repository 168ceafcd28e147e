"""Videos, from files, folders and arrays of frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmcv
import numpy as np

from mm_meta_transformer.datasets.load_clip import decode
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class ClipReader(Reader):
    """Read videos: files, or frames ``(T, H, W, 3)`` uint8, red first.

    Frames are resized to the tokenizer's size where the test pipeline does not do that.
    """

    modality = "video"
    key = "img_path"
    suffixes = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps."""
        size = self.model.tokenizer.get("img_size", 224)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.resized = not any(step["type"] == "EveryFrame" for step in pipeline)
        return pipeline

    def read(self, source: Any, name: str) -> Iterator[Sample]:
        """Yield the video.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: an array has no such frames.
            ValueError: a file cannot be read.
        """
        if isinstance(source, (str, Path)):
            frames = decode(str(existing(source)))
        else:
            array = np.asarray(source)
            if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8 or 0 in array.shape:
                raise UserError(f"{name} is {array.shape} in {array.dtype}. Fix: frames (T, H, W, 3) in uint8")
            frames = list(array)
        if self.resized:
            frames = [
                frame if frame.shape[:2] == self.size else mmcv.imresize(frame, self.size[::-1]) for frame in frames
            ]
        yield Sample(name, {"img_path": name, "path": name, "video": frames}, {"frames": frames})
