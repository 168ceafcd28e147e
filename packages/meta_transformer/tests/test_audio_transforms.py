"""From sound files to spectrograms: sample formats, counted repairs, bad files, and what augmentations change."""

import random

import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS
from scipy.io import wavfile

from mm_meta_transformer.datasets.audio_transforms import LoadAudio
from mm_meta_transformer.datasets.wav_file import read_wav


@pytest.fixture
def tone():
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    def write(samples, rate=16000, name="clip.wav"):
        wavfile.write(tmp_path / name, rate, samples)
        return {"path": str(tmp_path / name)}

    return write


def seeded(step, results, seed=0):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the transforms draw from the global state
    return TRANSFORMS.build(step)(dict(results))


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64"])
def test_every_sample_format_gives_the_same_waveform(tone, write, kind):
    if kind == "uint8":
        samples = np.round(tone * 127 + 128).astype(kind)
    else:
        samples = tone.astype(kind) if kind.startswith("f") else np.round(tone * np.iinfo(kind).max).astype(kind)
    (waveform,), rate = read_wav(write(samples)["path"])
    assert (rate, waveform.dtype) == (16000, np.float32)
    np.testing.assert_allclose(waveform, tone, atol=1e-2 if kind == "uint8" else 1e-4)


def test_several_channels_become_their_mean_and_are_counted(tone, write):
    load = LoadAudio()
    results = load(write(np.stack([tone, 0 * tone], 1)))
    np.testing.assert_allclose(results["waveform"], tone / 2)
    assert results["repairs"] == ["several channels: their mean is taken"]
    load(write(tone))
    assert load.repaired == {"several channels": 1}


def test_another_sampling_rate_is_refused_or_resampled_and_counted(tone, write):
    slow = write(tone[::2], rate=8000)
    with pytest.raises(ValueError, match=r"clip\.wav has 8000 samples a second.*for 16000\. Fix: resample=True"):
        LoadAudio()(slow)
    load = LoadAudio(resample=True)
    results = load(slow)
    assert results["waveform"].shape == tone.shape
    np.testing.assert_allclose(results["waveform"][200:-200], tone[200:-200], atol=2e-3)
    assert load.repaired == {"8000 samples a second": 1}


def test_clips_without_a_frame_are_refused(tone, write):
    with pytest.raises(ValueError, match=r"clip\.wav is empty; a filter bank needs 400, 25 ms at 16000 Hz\. Fix"):
        LoadAudio()(write(tone[:0]))
    with pytest.raises(ValueError, match=r"clip\.wav has 399 samples"):
        LoadAudio()(write(tone[:399]))
    assert len(LoadAudio()(write(tone[:400]))["waveform"]) == 400


def test_broken_files_are_named(tone, write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.wav"):
        read_wav(tmp_path / "absent.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"text\.wav cannot be read as a WAV file.*Fix: convert or replace"):
        read_wav(tmp_path / "text.wav")
    whole = tmp_path / write((tone * 32767).astype(np.int16))["path"]
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:-4000])
    with pytest.raises(ValueError, match=r"cut\.wav cannot be read as a WAV file"):
        read_wav(tmp_path / "cut.wav")
    tone[3] = np.nan
    with pytest.raises(ValueError, match=r"clip\.wav holds samples that are not finite"):
        read_wav(write(tone)["path"])


def test_spectrograms_are_cut_or_filled_up_before_they_are_normed(tone):
    results = {"waveform": tone, "sample_rate": 16000}
    short, long = (seeded(dict(type="FilterBank", num_bins=8, target_length=n), results) for n in (20, 60))
    assert (short["frames"], long["frames"]) == (20, 48)
    np.testing.assert_array_equal(short["spectrogram"], long["spectrogram"][:20])
    normed = seeded(dict(type="NormalizeSpectrogram", mean=-4.0, std=2.0), long)["spectrogram"]
    np.testing.assert_array_equal(normed[48:], 1.0)
    np.testing.assert_allclose(normed[:48], (long["spectrogram"][:48] + 4) / 4)


def test_mixing_mixes_waveforms_and_labels_alike(tone, write):
    partner = write((np.sign(tone) / 4)[:4000], name="partner.wav") | {"gt_label": 2}
    clip = {"waveform": tone, "path": "clip.wav", "gt_label": 0, "num_classes": 3, "partner": partner}
    mixed = seeded(dict(type="MixWaveforms", prob=1.0), clip)
    share = mixed["gt_score"][0]
    assert 0.1 < share < 0.9
    np.testing.assert_allclose(mixed["gt_score"], [share, 0, 1 - share])
    np.testing.assert_allclose(mixed["waveform"][4000:], share * (tone - tone.mean())[4000:], atol=1e-6)
    other = LoadAudio()(partner)["waveform"]
    np.testing.assert_allclose(
        mixed["waveform"][:4000],
        share * (tone - tone.mean())[:4000] + (1 - share) * (other - other.mean()),
        atol=1e-6,
    )
    plain = seeded(dict(type="MixWaveforms", prob=0.0), clip)
    assert plain["gt_score"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(plain["waveform"], tone)


def test_mixing_a_clip_of_the_same_class_gives_a_whole_label(tone, write):
    clip = {"waveform": tone, "path": "", "gt_label": 1, "num_classes": 2, "partner": write(tone) | {"gt_label": 1}}
    assert seeded(dict(type="MixWaveforms", prob=1.0), clip)["gt_score"].tolist() == [0, 1]


def test_mixing_needs_a_partner(tone):
    with pytest.raises(ValueError, match="partners=True of the data set"):
        seeded(dict(type="MixWaveforms"), {"waveform": tone, "path": "clip.wav"})


def test_masks_are_one_range_of_bins_and_one_of_frames():
    results = {"spectrogram": np.ones((40, 30), np.float32)}
    for seed in range(20):
        masked = seeded(dict(type="MaskSpectrogram", max_bins=8, max_frames=99), results, seed)["spectrogram"] == 0
        bins, frames = (np.flatnonzero(masked.all(axis)) for axis in (0, 1))
        assert (masked == (masked.all(0)[None] | masked.all(1)[:, None])).all()
        assert len(bins) < 8
        for found in (bins, frames):
            assert (np.diff(found) == 1).all()
    assert (results["spectrogram"] == 1).all()


def test_jitter_rolls_along_time_and_adds_noise():
    spectrogram = np.arange(20, dtype=np.float32).repeat(4).reshape(20, 4)
    rolled = [
        seeded(dict(type="JitterSpectrogram", noise=0.0, roll=3), {"spectrogram": spectrogram}, seed)["spectrogram"]
        for seed in range(30)
    ]
    assert {int(-one[0, 0]) % 20 for one in rolled} == {17, 18, 19, 0, 1, 2}
    noisy = seeded(dict(type="JitterSpectrogram", noise=0.5, roll=1), {"spectrogram": 0 * spectrogram})["spectrogram"]
    assert noisy.dtype == np.float32
    assert 0 <= noisy.min() < noisy.max() < 0.5
