"""Generated clips: motions that the frames show, in video files that a decoder reads back."""

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is no dependency of the core")

import av

from mmrepro.datasets.generated.clips import MOTIONS, RATE, clip_frames, clips_folder


def seen(frame):
    """Where a frame is bright, and how much of it."""
    bright = frame.max(-1) > 110
    rows, columns = np.nonzero(bright)
    return rows.mean(), columns.mean(), bright.mean()


def read(path):
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == RATE
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_same_clip_every_time_and_others_by_seed(motion):
    clip = clip_frames(motion, 5, 32, seed=1)
    assert (clip.shape, clip.dtype) == ((5, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(clip_frames(motion, 5, 32, seed=1), clip)
    assert (clip_frames(motion, 5, 32, seed=2) != clip).any()


def test_files_show_the_motion_that_the_list_says():
    folder = clips_folder(train=6, val=1, frames=8, size=48)
    names = (folder / "classes.txt").read_text().splitlines()
    assert names == list(MOTIONS)
    shown = {}
    for line in (folder / "train.txt").read_text().splitlines():
        path, label = line.split(" ")
        clip = read(folder / path)
        assert clip.shape == (8, 48, 48, 3)
        shown[names[int(label)]] = np.subtract(seen(clip[-1]), seen(clip[0]))
    down, right, more = (0, 1, 2)
    assert shown["falls"][down] > 15 > -15 > shown["rises"][down]
    assert shown["moves right"][right] > 15 > -15 > shown["moves left"][right]
    assert shown["grows"][more] > 0.05 > -0.05 > shown["shrinks"][more]
    assert (folder / "val.txt").read_text() == "val/00006.mp4 0\n"


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="motion='spins'"):
        clip_frames("spins")
    with pytest.raises(ValueError, match="size=33"):
        clip_frames("falls", size=33)
    with pytest.raises(ValueError, match="count=0"):
        clips_folder(val=0)
