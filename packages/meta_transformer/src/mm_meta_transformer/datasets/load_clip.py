"""Frames of a video file, read with PyAV."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mm_meta_transformer.datasets.data_error import DataError


@TRANSFORMS.register_module()
class LoadClip(BaseTransform):
    """Read clips of ``num_frames`` frames, every ``stride``-th of the file ``img_path``.

    A file that is shorter than a clip, or ends before it should, gives its last frame again; the sample's ``repairs``
    say how often. A sample that has a ``video`` already, a list of its frames, is not read.

    Args:
        num_frames: of a clip.
        stride: in frames.
        num_clips: how many, spread evenly from the first frame to the last.
        random: one clip that starts anywhere; without it, one clip is that in the middle.

    Raises:
        DataError: more than one clip is to start anywhere, or a number is not positive.
    """

    def __init__(self, num_frames: int = 16, stride: int = 4, num_clips: int = 1, random: bool = False) -> None:
        if min(num_frames, stride, num_clips) < 1 or (random and num_clips > 1):
            raise DataError(
                f"num_frames={num_frames}, stride={stride} and num_clips={num_clips} must be positive, "
                "and random takes one clip"
            )
        self.num_frames, self.stride, self.num_clips, self.random = num_frames, stride, num_clips, random

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``frames``, a list of ``(H, W, 3)`` uint8 RGB, clip by clip.

        Raises:
            DataError: the file cannot be read, or has no frame.
        """
        video = results.pop("video", None)
        count = count_frames(results["img_path"]) if video is None else len(video)
        steps = self.stride * np.arange(self.num_frames)
        room = max(0, count - 1 - int(steps[-1]))
        if self.random:
            starts = [np.random.randint(room + 1)]  # noqa: NPY002  the engine seeds the global state
        elif self.num_clips == 1:
            starts = [room // 2]
        else:
            starts = np.linspace(0, room, self.num_clips).round().astype(int).tolist()
        wanted = np.concatenate([start + steps for start in starts])
        frames, last = np.minimum(wanted, count - 1).tolist(), count - 1
        if video is None:
            video, last = decode_some(results["img_path"], set(frames))
        results["frames"] = [video[at] for at in frames]
        if repeated := int((wanted > last).sum()):
            results["repairs"] = [*results.get("repairs", ()), f"{repeated} frames repeated"]
        return results


def decode(path: str) -> list[np.ndarray]:
    """Return all frames of a video file, ``(H, W, 3)`` uint8 RGB.

    Raises:
        DataError: the file cannot be read, or has no frame.
    """
    frames = [_rgb(frame) for frame in _frames(path)]
    if not frames:
        raise DataError(f"{path} has no frame. Fix: take its line out of the list")
    return frames


def decode_some(path: str, wanted: Collection[int]) -> tuple[dict[int, np.ndarray], int]:
    """Return some frames of a video file by number, ``(H, W, 3)`` uint8 RGB, and the number of the last one decoded.

    Nothing behind the last one wanted is decoded. Where a damaged file gives fewer frames than :func:`count_frames`
    says, its last one stands for those behind it.

    Raises:
        DataError: the file cannot be read, or has no frame.
    """
    found, frame = {}, None
    for number, frame in enumerate(_frames(path)):
        if number in wanted:
            found[number] = _rgb(frame)
        if number == max(wanted):
            break
    if frame is None:
        raise DataError(f"{path} has no frame. Fix: take its line out of the list")
    last = None if len(found) == len(wanted) else _rgb(frame)
    return {at: found.get(at, last) for at in wanted}, number


def count_frames(path: str) -> int:
    """Return how many frames a video file has, without decoding them.

    Raises:
        DataError: the file cannot be read, or has no frame.
    """
    with _opened(path) as container:
        count = sum(packet.size > 0 and not packet.is_discard for packet in container.demux(video=0))
    if not count:
        raise DataError(f"{path} has no frame. Fix: take its line out of the list")
    return count


def _frames(path: str) -> Iterator[av.VideoFrame]:
    with _opened(path) as container:
        yield from container.decode(video=0)


@contextmanager
def _opened(path: str) -> Iterator[InputContainer]:
    try:
        with av.open(path) as container:
            yield container
    except (av.error.FFmpegError, IndexError) as error:  # without a video stream it is the other
        raise DataError(f"{path} cannot be read as a video: {error}. Fix: take its line out of the list") from error


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24")
