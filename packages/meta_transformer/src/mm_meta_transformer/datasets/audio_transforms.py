"""From the path of a sound file to the spectrogram that the audio tokenizer reads, with the authors' augmentations.

In the order of the official pipeline: :class:`LoadAudio`, :class:`MixWaveforms`, :class:`FilterBank`,
:class:`MaskSpectrogram`, :class:`NormalizeSpectrogram`, :class:`JitterSpectrogram`. Those with chances draw from the
global states of Python and numpy, which the engine seeds.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from math import gcd
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS
from scipy.signal import resample_poly

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.filter_bank import WINDOW_MS, filter_bank
from mm_meta_transformer.datasets.wav_file import read_wav

NORM_MEAN, NORM_STD = -6.845978, 5.5654526  # of Speech Commands' filter banks, as in the official run script


@TRANSFORMS.register_module()
class LoadAudio(BaseTransform):
    """Read ``path`` as one channel at one sampling rate: ``waveform`` ``(samples,)`` float32 and ``sample_rate``.

    A sample that has a ``recording`` already, ``(channels, samples)`` and its rate, is not read; ``path`` names it.
    Repairs are said in the sample's ``repairs``, counted in :attr:`repaired` (by each worker for itself), and the first
    of each kind is a warning.

    Args:
        sample_rate: samples in a second that the model is for.
        resample: bring files of another rate to this one with a polyphase filter; otherwise they are errors.

    Raises:
        DataError: a file has another sampling rate, no sample, or less than one frame; it is named.
    """

    def __init__(self, sample_rate: int = 16000, resample: bool = False) -> None:
        self.sample_rate, self.resample = sample_rate, resample
        self.repaired: Counter[str] = Counter()

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``waveform`` and ``sample_rate``, and ``repairs`` where there were some."""
        path = results["path"]
        channels, rate = results["recording"] if "recording" in results else read_wav(path)
        repairs = [*results.get("repairs", ())]
        waveform = channels[0]
        if len(channels) > 1:
            waveform = channels.mean(0)
            repairs.append(self._note("several channels", path, "their mean is taken"))
        if rate != self.sample_rate:
            if not self.resample:
                raise DataError(
                    f"{path} has {rate} samples a second, the model is for {self.sample_rate}. "
                    f"Fix: resample=True of LoadAudio, or sample_rate={rate} for a model that is trained on such files"
                )
            common = gcd(rate, self.sample_rate)
            waveform = resample_poly(waveform, self.sample_rate // common, rate // common).astype(np.float32)
            repairs.append(self._note(f"{rate} samples a second", path, f"it is resampled to {self.sample_rate}"))
        needed = self.sample_rate * WINDOW_MS // 1000
        if len(waveform) < needed:
            what = "is empty" if len(waveform) == 0 else f"has {len(waveform)} samples"
            raise DataError(
                f"{path} {what}; a filter bank needs {needed}, {WINDOW_MS} ms at {self.sample_rate} Hz. "
                "Fix: take the file out of the data set, or replace it"
            )
        results |= {"waveform": waveform, "sample_rate": self.sample_rate}
        return results | ({"repairs": repairs} if repairs else {})

    def _note(self, fault: str, path: str, repair: str) -> str:
        self.repaired[fault] += 1
        if self.repaired[fault] == 1:
            print_log(f"{path} has {fault}: {repair}. Further such files are not named", "current", logging.WARNING)
        return f"{fault}: {repair}"


@TRANSFORMS.register_module()
class MixWaveforms(BaseTransform):
    """Mix a clip with another one of the data set, and its label with that one's, in proportions of Beta(alpha, alpha).

    The other clip is cut or filled up with silence to the length of the first. The label becomes ``gt_score``,
    ``(classes,)``, also where nothing is mixed.

    Args:
        prob: share of the samples that are mixed.
        alpha: of the distribution; 10 stays near halves.
        load: config of the :class:`LoadAudio` that reads the other clip; the default where ``None``.

    Raises:
        DataError: the data set gives no ``partner``.
    """

    def __init__(self, prob: float = 0.6, alpha: float = 10.0, load: dict[str, Any] | None = None) -> None:
        self.prob, self.alpha = prob, alpha
        self.load = TRANSFORMS.build(dict(type="LoadAudio") | (load or {}))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``waveform`` and add ``gt_score``."""
        if "partner" not in results:
            raise DataError(
                f"{results['path']} comes without a partner to mix with. Fix: partners=True of the data set"
            )
        score = np.zeros(results["num_classes"], np.float32)
        share = 1.0
        if random.random() < self.prob:
            share = float(np.random.beta(self.alpha, self.alpha))  # noqa: NPY002  the engine seeds the global state
            results["waveform"] = self._mixed(results["waveform"], self.load(dict(results["partner"])), share)
            score[results["partner"]["gt_label"]] += 1 - share
        score[results["gt_label"]] += share
        return results | {"gt_score": score}

    def _mixed(self, waveform: np.ndarray, partner: dict[str, Any], share: float) -> np.ndarray:
        other = partner["waveform"] - partner["waveform"].mean()
        fitted = np.zeros_like(waveform)
        fitted[: len(other)] = other[: len(waveform)]
        return share * (waveform - waveform.mean()) + (1 - share) * fitted


@TRANSFORMS.register_module()
class FilterBank(BaseTransform):
    """The filter bank of ``waveform`` without its mean, cut or filled up with zeros: ``spectrogram``.

    Args:
        num_bins: bands of the mel scale.
        target_length: frames, of 10 ms each.
    """

    def __init__(self, num_bins: int = 128, target_length: int = 224) -> None:
        self.num_bins, self.target_length = num_bins, target_length

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``spectrogram`` ``(target_length, num_bins)`` float32 and ``frames``, how many of them are the clip's."""
        waveform = results["waveform"]
        bands = filter_bank(waveform - waveform.mean(), results["sample_rate"], self.num_bins)[: self.target_length]
        spectrogram = np.zeros((self.target_length, self.num_bins), np.float32)
        spectrogram[: len(bands)] = bands
        return results | {"spectrogram": spectrogram, "frames": len(bands)}


@TRANSFORMS.register_module()
class MaskSpectrogram(BaseTransform):
    """Set one range of bins and one of frames to zero (SpecAugment), each of a width drawn from [0, its limit).

    Args:
        max_bins: limit of the bins.
        max_frames: limit of the frames.
    """

    def __init__(self, max_bins: int = 48, max_frames: int = 48) -> None:
        self.max_bins, self.max_frames = max_bins, max_frames

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``spectrogram``."""
        spectrogram = results["spectrogram"].copy()
        spectrogram[:, _drawn_range(spectrogram.shape[1], self.max_bins)] = 0
        spectrogram[_drawn_range(spectrogram.shape[0], self.max_frames)] = 0
        return results | {"spectrogram": spectrogram}


def _drawn_range(size: int, limit: int) -> slice:
    width = random.random() * min(limit, size)
    start = int(random.random() * (size - width))
    return slice(start, start + int(width))


@TRANSFORMS.register_module()
class NormalizeSpectrogram(BaseTransform):
    """Take ``mean`` off ``spectrogram`` and divide it by twice ``std``: what was filled up becomes a constant, too.

    Args:
        mean: of the training set's filter banks.
        std: their deviation.
    """

    def __init__(self, mean: float = NORM_MEAN, std: float = NORM_STD) -> None:
        self.mean, self.std = mean, std

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``spectrogram``."""
        return results | {"spectrogram": (results["spectrogram"] - self.mean) / (2 * self.std)}


@TRANSFORMS.register_module()
class JitterSpectrogram(BaseTransform):
    """Add noise of a drawn strength to ``spectrogram`` and roll it along time.

    Args:
        noise: the largest strength; the noise is uniform in [0, strength).
        roll: frames; drawn from [-roll, roll).
    """

    def __init__(self, noise: float = 0.1, roll: int = 10) -> None:
        self.noise, self.roll = noise, roll

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``spectrogram``."""
        spectrogram = results["spectrogram"]
        drawn = np.random.random_sample(spectrogram.shape).astype(np.float32)  # noqa: NPY002  the seeded global state
        spectrogram = spectrogram + drawn * (random.random() * self.noise)
        return results | {"spectrogram": np.roll(spectrogram, random.randrange(-self.roll, self.roll), 0)}
