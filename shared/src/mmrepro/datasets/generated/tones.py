"""Generated sound files with a tone that is low, high, rises or falls, for tests and demonstrations of audio models.

The tones are loud enough to be heard over their noise, and no two of a class are alike. They are written as WAV files
in one folder for each class, for the real data sets to read back.
"""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path

import numpy as np

from .folder import temporary_folder

KINDS = ("falling", "high", "low", "rising")
RATE = 16000  # samples a second

_LOW, _HIGH = (200.0, 400.0), (1200.0, 2400.0)  # hertz
_NOISE = 0.02
_FADE = 0.02  # seconds at both ends


def tone(kind: str, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return a waveform ``(samples,)`` float32 in [-1, 1], at :data:`RATE`.

    Args:
        kind: one of :data:`KINDS`.
        seconds: how long it is.
        seed: of its pitch, loudness and noise.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is not known. Fix: one of {', '.join(KINDS)}")
    random = np.random.Generator(np.random.PCG64([seed, KINDS.index(kind)]))
    low, high = random.uniform(*_LOW), random.uniform(*_HIGH)
    start, end = {"low": (low, low), "high": (high, high), "rising": (low, high), "falling": (high, low)}[kind]
    time = np.arange(round(seconds * RATE)) / RATE
    turns = start * time + (end - start) * time**2 / (2 * seconds)  # the pitch changes evenly
    fade = np.minimum(1, np.minimum(time, time[::-1]) / _FADE)
    sound = random.uniform(0.3, 0.8) * fade * np.sin(2 * np.pi * (turns + random.random()))
    return (sound + _NOISE * random.standard_normal(len(time))).clip(-1, 1).astype(np.float32)


def write_wav(path: Path, waveform: np.ndarray, rate: int = RATE) -> None:
    """Write a waveform ``(samples,)`` or ``(samples, channels)`` in [-1, 1] with 16 bits a sample.

    Args:
        path: of the file.
        waveform: the samples.
        rate: samples a second.
    """
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if waveform.ndim == 1 else waveform.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(waveform * 32767).astype("<i2").tobytes())


@cache
def tones_folder(train: int = 16, test: int = 8, seconds: float = 1.0, seed: int = 0) -> Path:
    """Write tones as ``{train,test}/<kind>/<number>.wav`` into a temporary folder, once for each settings.

    Kinds take turns. The folder is removed when the process ends.

    Args:
        train: number of files to train on.
        test: number of files to test on.
        seconds: how long each is.
        seed: of all of them.

    Raises:
        ValueError: no file is asked for.
    """
    folder = temporary_folder("tones", min(train, test))
    for part, count in (("train", train), ("test", test)):
        for kind in KINDS:
            (folder / part / kind).mkdir(parents=True)
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            drawn = tone(kind, seconds, seed * 1_000_003 + number + (train if part == "test" else 0))
            write_wav(folder / part / kind / f"{number:04d}.wav", drawn)
    return folder
