"""The filter bank, against kaldi-native-fbank's numbers where that computes one, and with empty bands."""

import numpy as np
import pytest

from mm_meta_transformer.datasets.filter_bank import FLOOR, filter_bank

# kaldi-native-fbank 1.23.0: 8 bins, htk_compat, Hann window, no dither and no energy; frames 0, 10 and 22 of the chirp.
KALDI = [
    [4.763758, 4.628879, -3.870075, -11.308421, -14.615417, -15.942385, -15.942385, -15.942385],
    [-10.386138, -6.876795, 6.247209, 7.369953, -0.162002, -10.697996, -14.14888, -15.942385],
    [-13.968534, -12.910713, -11.074961, -6.665477, 7.937473, 8.179456, -6.01584, -12.428393],
]


def chirp():
    time = np.arange(2000) / 8000
    return np.sin(2 * np.pi * (200 * time + 3000 * time**2)).astype(np.float32)


def test_it_is_kaldis():
    bands = filter_bank(chirp(), 8000, 8)
    assert (bands.shape, bands.dtype) == ((23, 8), np.float32)
    loud = np.asarray(KALDI) > -9  # below, Kaldi's float32 transform is its own noise
    np.testing.assert_allclose(bands[[0, 10, 22]][loud], np.asarray(KALDI)[loud], atol=2e-4)
    np.testing.assert_allclose(bands[[0, 10, 22]], KALDI, atol=3e-3)


def test_a_clip_of_a_second_has_98_frames():
    assert len(filter_bank(np.zeros(16000), 16000, 40)) == 98
    assert len(filter_bank(np.zeros(400), 16000, 40)) == 1


def test_an_offset_does_not_show():
    np.testing.assert_allclose(filter_bank(chirp() + 0.5, 8000, 8), filter_bank(chirp(), 8000, 8), atol=1e-3)


def test_bands_that_no_frequency_falls_into_are_constant():
    noise = np.random.default_rng(0).standard_normal(16000)
    silent = np.float32(np.log(FLOOR))
    mel = 1127 * np.log1p(np.asarray([20, 8000]) / 700)
    edges = 700 * np.expm1(np.linspace(*mel, 224 + 2) / 1127)
    lines = np.arange(256) * 16000 / 512  # of the transform of 512 samples
    empty = [number for number in range(224) if not ((edges[number] < lines) & (lines < edges[number + 2])).any()]
    bands = filter_bank(noise, 16000, 224)
    assert 0 < len(empty) < 224 // 4
    assert np.flatnonzero((bands == silent).all(0)).tolist() == empty
    assert not (filter_bank(noise, 16000, 64) == silent).all(0).any()


@pytest.mark.parametrize("shape", [(199,), (0,), (2, 8000)])
def test_what_has_no_frame_is_refused(shape):
    with pytest.raises(ValueError, match=r"no frame of 200 samples \(25 ms at 8000 Hz\)"):
        filter_bank(np.zeros(shape), 8000, 8)
