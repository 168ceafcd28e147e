"""Kaldi's logarithmic mel filter bank: what a clip of sound is turned into before its tokens are cut.

Equal to torchaudio's ``compliance.kaldi.fbank`` with ``htk_compat``, a Hann window, no dither and no energy (the
official audio project, spec of arXiv 2307.10802, section "audio"). torchaudio no longer follows torch's releases, and
kaldi-native-fbank refuses the 224 bins of the published row, because the narrowest of its triangles lie between two
frequencies of the transform. torchaudio gives such a bin the logarithm of float32's epsilon, and so does this.
"""

from __future__ import annotations

from functools import cache

import numpy as np

LOWEST_HZ = 20.0  # of the lowest filter; the highest ends at half the sampling rate
WINDOW_MS, SHIFT_MS = 25, 10
PRE_EMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)  # power below it counts as it: the logarithm stays finite


def filter_bank(waveform: np.ndarray, sample_rate: int, num_bins: int = 128) -> np.ndarray:
    """Return the logarithms of the power in ``num_bins`` bands of the mel scale, for each frame.

    Frames are 25 ms long and start every 10 ms; those that would reach over the end are left out.

    Args:
        waveform: ``(samples,)``, in the range [-1, 1]; the official code takes its mean off first.
        sample_rate: samples in a second.
        num_bins: number of bands.

    Returns:
        ``(frames, num_bins)`` float32, natural logarithms.

    Raises:
        ValueError: the waveform has another shape or is shorter than one frame.
    """
    size, shift = sample_rate * WINDOW_MS // 1000, sample_rate * SHIFT_MS // 1000
    if waveform.ndim != 1 or len(waveform) < size:
        raise ValueError(
            f"a waveform of shape {tuple(waveform.shape)} has no frame of {size} samples ({WINDOW_MS} ms at "
            f"{sample_rate} Hz). Fix: give one channel, shape (samples,), of at least that length"
        )
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(np.float64), size)[::shift]
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], 1)  # of the first sample: itself
    frames = (frames - PRE_EMPHASIS * before) * np.hanning(size)
    width = 1 << (size - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(frames, width)[:, : width // 2]))
    return np.log(np.maximum(power @ _triangles(num_bins, width, sample_rate), FLOOR)).astype(np.float32)


@cache
def _triangles(num_bins: int, width: int, sample_rate: int) -> np.ndarray:
    """Return the weights ``(width / 2, num_bins)`` of triangles that are equally wide on the mel scale."""
    corners = np.linspace(_mel(LOWEST_HZ), _mel(sample_rate / 2), num_bins + 2)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    mel = _mel(np.arange(width // 2) * sample_rate / width)[:, None]  # half the rate itself has no weight in Kaldi
    weights = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre))
    weights = np.maximum(weights, 0.0)
    weights.flags.writeable = False  # cached
    return weights


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)
