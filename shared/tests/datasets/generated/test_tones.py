"""Generated tones: what the kinds differ in, and the folders of files."""

import wave

import numpy as np
import pytest

from mmrepro.datasets.generated.tones import KINDS, RATE, tone, tones_folder, write_wav


def pitches(waveform):
    """Return the loudest frequencies in hertz of the first and the last quarter."""
    quarter = len(waveform) // 4
    return [
        np.abs(np.fft.rfft(part * np.hanning(quarter))).argmax() * RATE / quarter
        for part in (waveform[:quarter], waveform[-quarter:])
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_sound_every_time_and_others_by_seed(kind):
    waveform = tone(kind, 0.5, seed=1)
    assert (waveform.shape, waveform.dtype) == ((8000,), np.float32)
    assert np.abs(waveform).max() <= 1
    np.testing.assert_array_equal(tone(kind, 0.5, seed=1), waveform)
    assert (tone(kind, 0.5, seed=2) != waveform).any()


@pytest.mark.parametrize("seed", range(5))
def test_kinds_differ_in_pitch(seed):
    found = {kind: pitches(tone(kind, 0.5, seed)) for kind in KINDS}
    assert max(found["low"]) < 450
    assert min(found["high"]) > 1100
    assert found["rising"][1] > found["rising"][0] + 400
    assert found["falling"][0] > found["falling"][1] + 400


def test_files_by_kind():
    folder = tones_folder(train=5, test=4, seconds=0.1)
    assert tones_folder(train=5, test=4, seconds=0.1) == folder
    for part, counts in (("train", [2, 1, 1, 1]), ("test", [1, 1, 1, 1])):
        assert [len(list((folder / part / kind).iterdir())) for kind in KINDS] == counts
    with wave.open(str(folder / "test/high/0001.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    np.testing.assert_allclose(samples / 32767, tone("high", 0.1, seed=6), atol=2e-5)


def test_several_channels(tmp_path):
    both = np.stack([np.zeros(8), np.full(8, 0.5)], 1)
    write_wav(tmp_path / "both.wav", both, rate=8000)
    with wave.open(str(tmp_path / "both.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 2, 8)
        assert np.frombuffer(file.readframes(8), "<i2").reshape(8, 2)[0].tolist() == [0, 16384]


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="kind='loud' is not known"):
        tone("loud")
    with pytest.raises(ValueError, match="count=0"):
        tones_folder(test=0)
