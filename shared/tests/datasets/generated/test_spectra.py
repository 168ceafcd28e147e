"""Generated spectra: materials that differ, and the .mat file with its split."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is no dependency of the core")

from scipy.io import loadmat

from mmrepro.datasets.generated.spectra import FILE, spectra_file, spectral_scene


def test_the_same_scene_every_time_and_others_by_seed():
    picture, labels = spectral_scene(16, 12, 3, seed=1)
    assert picture.shape == (16, 16, 12)
    again, same = spectral_scene(16, 12, 3, seed=1)
    np.testing.assert_array_equal(again, picture)
    np.testing.assert_array_equal(same, labels)
    assert (spectral_scene(16, 12, 3, seed=2)[0] != picture).any()


@pytest.mark.parametrize("seed", range(3))
def test_every_class_has_pixels_and_its_own_spectrum(seed):
    picture, labels = spectral_scene(seed=seed)
    assert set(labels.ravel()) == set(range(7))
    shapes = picture / picture.mean(-1, keepdims=True)  # without the light
    means = np.stack([shapes[labels == label].mean(0) for label in range(1, 7)])
    seen = labels > 0
    nearest = np.linalg.norm(shapes[seen][:, None] - means, axis=-1).argmin(-1) + 1
    assert (nearest == labels[seen]).mean() > 0.8


def test_in_a_crowded_scene_every_class_has_pixels_of_both_parts():
    for size, classes in ((16, 16), (13, 10)):
        for seed in range(5):
            _, labels = spectral_scene(size, 4, classes, seed)
            assert np.bincount(labels.ravel(), minlength=classes + 1)[1:].min() >= 8


def test_the_file_holds_two_parts_without_a_common_pixel():
    path = spectra_file(size=24, bands=10, classes=4, train_per_class=5)
    assert path.name == FILE
    stored = loadmat(path)
    picture, labels = spectral_scene(24, 10, 4)
    np.testing.assert_allclose(stored["input"], picture)
    train, test = (stored[name].astype(int) for name in ("TR", "TE"))
    assert not ((train > 0) & (test > 0)).any()
    np.testing.assert_array_equal(train + test, labels)
    assert np.bincount(train.ravel())[1:].tolist() == [5] * 4


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="classes=1 must be at least 2"):
        spectral_scene(classes=1)
    with pytest.raises(ValueError, match="size=8"):
        spectral_scene(size=8)
    with pytest.raises(ValueError, match="count=0"):
        spectra_file(train_per_class=0)
