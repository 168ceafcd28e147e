"""Generated signals of a waist-worn inertial sensor, in the text files of UCI's "Human Activity Recognition".

Steps are sums of harmonics of a cadence that differs between activities and persons; resting postures differ by where
gravity points. They are drawn, not measured: a model that tells them apart says nothing about real persons.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from .folder import temporary_folder

ACTIVITIES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
CHANNELS = tuple(f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
RATE = 50  # samples a second
LENGTH = 128  # samples of a window, as published: 2.56 seconds

_CADENCE = {"WALKING": 1.9, "WALKING_UPSTAIRS": 1.6, "WALKING_DOWNSTAIRS": 2.2}  # steps a second
_FORCE = {"WALKING": 0.25, "WALKING_UPSTAIRS": 0.2, "WALKING_DOWNSTAIRS": 0.4}  # in g
_LEAN = {"WALKING_UPSTAIRS": 0.25, "WALKING_DOWNSTAIRS": -0.12, "SITTING": 0.45, "LAYING": 1.5}  # radians


def gait_window(activity: str, seed: int = 0) -> np.ndarray:
    """Return one window ``(9, 128)``: :data:`CHANNELS` in g, the three of the gyroscope in radians a second.

    Args:
        activity: one of :data:`ACTIVITIES`.
        seed: of the person, the phase and the noise.

    Raises:
        ValueError: the activity is unknown.
    """
    if activity not in ACTIVITIES:
        raise ValueError(f"activity={activity!r} must be one of {ACTIVITIES}")
    draw = np.random.Generator(np.random.PCG64([seed, ACTIVITIES.index(activity)]))
    time = np.arange(LENGTH) / RATE
    body, turn = np.zeros((3, LENGTH)), np.zeros((3, LENGTH))
    if activity in _CADENCE:
        step = 2 * np.pi * _CADENCE[activity] * (0.92 + 0.16 * draw.random()) * time + 2 * np.pi * draw.random()
        force = _FORCE[activity] * (0.8 + 0.4 * draw.random())
        body[0] = force * (np.sin(step) + 0.4 * np.sin(2 * step + 0.6))
        body[1] = 0.5 * force * np.sin(step / 2)  # from side to side once in two steps
        body[2] = 0.6 * force * np.cos(step)
        turn[0] = 1.2 * force * np.cos(step / 2)
        turn[1] = 2.0 * force * np.sin(step + 0.4)
        turn[2] = 0.8 * force * np.cos(step)
    body += 0.01 * draw.standard_normal(body.shape)
    turn += 0.02 * draw.standard_normal(turn.shape)
    lean = _LEAN.get(activity, 0.0) + 0.08 * draw.standard_normal()
    side = 0.08 * draw.standard_normal()
    gravity = np.array([np.cos(lean) * np.cos(side), np.sin(side), np.sin(lean) * np.cos(side)])
    return np.concatenate([body, turn, body + gravity[:, None]])


@cache
def gait_folder(train: int = 96, test: int = 48, seed: int = 0) -> Path:
    """Write windows in the files of the UCI HAR data set into a temporary folder, once for each settings.

    The folder holds ``activity_labels.txt`` and for both parts ``<part>/y_<part>.txt`` (labels from 1),
    ``<part>/subject_<part>.txt`` and ``<part>/Inertial Signals/<channel>_<part>.txt``, one window of 128 numbers a
    line. The table of engineered features of the original, ``X_<part>.txt``, is left out. Activities take turns. It is
    removed when the process ends.

    Args:
        train: windows to train on.
        test: windows to test on.
        seed: of the first window; the next ones count up.

    Raises:
        ValueError: a part has no window.
    """
    inner = [f"{part}{below}" for part in ("train", "test") for below in ("", "/Inertial Signals")]
    folder = temporary_folder("gait", min(train, test), *inner)
    names = "".join(f"{number} {name}\n" for number, name in enumerate(ACTIVITIES, 1))
    (folder / "activity_labels.txt").write_text(names, encoding="utf-8")
    persons = 0
    for part, first, count in (("train", 0, train), ("test", train, test)):
        labels = np.arange(count) % len(ACTIVITIES)
        windows = np.stack([gait_window(ACTIVITIES[label], seed + first + at) for at, label in enumerate(labels)])
        np.savetxt(folder / part / f"y_{part}.txt", labels + 1, fmt="%d")
        # one person for each round of activities, none in both parts
        rounds = persons + 1 + np.arange(count) // len(ACTIVITIES)
        np.savetxt(folder / part / f"subject_{part}.txt", rounds, fmt="%d")
        persons = rounds[-1]
        for number, channel in enumerate(CHANNELS):
            path = folder / part / "Inertial Signals" / f"{channel}_{part}.txt"
            np.savetxt(path, windows[:, number], fmt=" %.7e")
    return folder
