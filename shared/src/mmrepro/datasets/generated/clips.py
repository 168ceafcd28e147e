"""Generated clips of one moving shape, as video files with lists like those of Kinetics.

The class is the motion, not the shape or its colour, so the frame in the middle does not tell it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .folder import temporary_folder
from .library import library

MOTIONS = ("falls", "grows", "moves left", "moves right", "rises", "shrinks")
RATE = 25  # frames a second

_PARTS = ("train", "val")


def clip_frames(motion: str, frames: int = 32, size: int = 64, seed: int = 0) -> np.ndarray:
    """Return a clip ``(frames, size, size, 3)`` uint8 RGB.

    Args:
        motion: one of :data:`MOTIONS`.
        frames: how many, at least 2.
        size: side in pixels, even and at least 16.
        seed: of the shape, its colour, its way and the ground.

    Raises:
        ValueError: the motion is unknown, or a setting is too small or odd.
    """
    if motion not in MOTIONS or frames < 2 or size < 16 or size % 2:
        raise ValueError(
            f"motion={motion!r} must be one of {MOTIONS}, frames={frames} at least 2, "
            f"and size={size} even and at least 16"
        )
    draw = np.random.Generator(np.random.PCG64([seed, MOTIONS.index(motion)]))
    ground, colour = (tuple(int(v) for v in draw.integers(*limits, 3)) for limits in ((20, 90), (130, 256)))
    disc, other, steady = draw.random() < 0.5, 0.35 + 0.3 * draw.random(), 0.12 + 0.06 * draw.random()
    # two frames in the same place would show nothing: each way is at least 0.4 of the picture
    first, last = 0.2 + 0.1 * draw.random(), 0.7 + 0.1 * draw.random()
    clip = []
    for step in np.linspace(0, 1, frames):
        along = first + (last - first) * step
        radius = steady
        x = y = other
        if motion == "moves right":
            x = along
        elif motion == "moves left":
            x = 1 - along
        elif motion == "falls":
            y = along
        elif motion == "rises":
            y = 1 - along
        else:
            radius = 0.08 + 0.24 * (step if motion == "grows" else 1 - step)
        picture = Image.new("RGB", (size, size), ground)
        corners = [size * (x - radius), size * (y - radius), size * (x + radius), size * (y + radius)]
        canvas = ImageDraw.Draw(picture)
        (canvas.ellipse if disc else canvas.rectangle)(corners, fill=colour)
        clip.append(np.asarray(picture))
    return np.stack(clip)


def write_clip(path: Path, clip: np.ndarray, rate: int = RATE) -> None:
    """Write a clip ``(frames, H, W, 3)`` uint8 RGB as MPEG-4 video; the picture loses detail.

    Args:
        path: of the file; its suffix (``.mp4``, ``.avi``) chooses the container.
        clip: the frames; height and width are even.
        rate: frames a second.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
    """
    av = library("av", "av", "Clips")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        stream.thread_count = 1  # the same bytes whatever the machine's cores
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


@cache
def clips_folder(train: int = 24, val: int = 12, frames: int = 32, size: int = 64, seed: int = 0) -> Path:
    """Write clips and their lists into a temporary folder, once for each settings.

    The folder holds ``{train,val}/<number>.mp4``, ``{train,val}.txt`` with lines ``<path> <label>`` (paths from the
    folder on, labels from 0) and ``classes.txt``. Motions take turns. It is removed when the process ends.

    Args:
        train: clips to train on.
        val: clips to validate on.
        frames: of each clip.
        size: side in pixels.
        seed: of the first clip; the next ones count up.

    Raises:
        ValueError: a part has no clip, or a clip's settings are wrong.
        ModuleNotFoundError: PyAV is not installed.
    """
    folder = temporary_folder("clips", min(train, val), *_PARTS)
    for part, first, count in (("train", 0, train), ("val", train, val)):
        lines = []
        for at in range(first, first + count):
            label = at % len(MOTIONS)
            name = f"{part}/{at:05d}.mp4"
            write_clip(folder / name, clip_frames(MOTIONS[label], frames, size, seed + at))
            lines.append(f"{name} {label}\n")
        (folder / f"{part}.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "classes.txt").write_text("".join(f"{motion}\n" for motion in MOTIONS), encoding="utf-8")
    return folder
