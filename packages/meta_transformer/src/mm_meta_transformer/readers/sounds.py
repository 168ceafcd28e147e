"""Sound, from WAV files, folders and arrays with their rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mm_meta_transformer.datasets.wav_file import read_wav
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class SoundReader(Reader):
    """Read recordings: WAV files, or arrays ``(samples,)`` or ``(channels, samples)`` with their ``rate``.

    Another rate than the model's is resampled and several channels are averaged; a prediction says so in ``repairs``.
    """

    modality = "audio"
    options = frozenset({"rate"})
    suffixes = (".wav",)

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps, with other rates resampled."""
        load, *rest = pipeline
        return [{**load, "resample": True}, *rest]

    def read(self, source: Any, name: str, rate: int | None = None) -> Iterator[Sample]:
        """Yield the recording.

        Args:
            source: a file or an array.
            name: what it is called.
            rate: samples in a second of an array; a file says its own.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: an array comes without its rate, a file with another one, or an array is no recording.
            ValueError: a file cannot be read.
        """
        if isinstance(source, (str, Path)):
            channels, own = read_wav(existing(source))
            if rate not in (None, own):
                raise UserError(
                    f"{source} has {own} samples a second, rate={rate} is for arrays. Fix: the file without rate"
                )
            rate = own
        else:
            channels = np.atleast_2d(np.asarray(source))
            if rate is None or rate <= 0:
                raise UserError(f"{name} is an array without its rate. Fix: rate=16000, samples in a second")
            if channels.ndim != 2 or channels.dtype.kind != "f" or len(channels) > channels.shape[1] > 0:
                raise UserError(
                    f"{name} is {channels.shape} in {channels.dtype}. Fix: numbers from -1 to 1, (samples,) or "
                    "(channels, samples)"
                )
            if not np.isfinite(channels).all():
                raise UserError(f"{name} holds samples that are not finite")
            channels = channels.astype(np.float32)
        raw = {"waveform": channels.mean(0) if channels.size else channels[0], "rate": int(rate)}
        yield Sample(
            name,
            {"path": str(source) if isinstance(source, (str, Path)) else name, "recording": (channels, int(rate))},
            raw,
        )
