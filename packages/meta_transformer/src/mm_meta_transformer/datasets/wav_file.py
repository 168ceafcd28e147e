"""Reading a WAV file, whatever its sample format, as numbers in [-1, 1]."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from mm_meta_transformer.datasets.data_error import DataError


def read_wav(path: str | Path) -> tuple[np.ndarray, int]:
    """Return the waveform ``(channels, samples)`` float32 of a file and its sampling rate in Hz.

    Integers of any width are divided by their largest magnitude, as torchaudio and soundfile do; floating-point samples
    stay as they are.

    Args:
        path: a WAV file.

    Raises:
        FileNotFoundError: there is none.
        DataError: it is no WAV file, is cut off, or holds samples that are not finite; the file is named.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            warnings.filterwarnings("ignore", "Chunk .non-data. not understood")  # comments of the recording program
            rate, samples = wavfile.read(path)
    except FileNotFoundError:
        raise
    except (ValueError, EOFError, OSError, wavfile.WavFileWarning) as error:
        raise DataError(f"{path} cannot be read as a WAV file: {error}. Fix: convert or replace the file") from error
    if samples.dtype.kind == "f":
        waveform = samples.astype(np.float32)
    elif samples.dtype == np.uint8:  # the only unsigned width
        waveform = samples.astype(np.float32) / 128 - 1
    else:
        waveform = (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if not np.isfinite(waveform).all():
        raise DataError(f"{path} holds samples that are not finite. Fix: record or convert the file again")
    return np.atleast_2d(waveform.T), rate
