"""Generated inertial signals: physics that is plausible, and the text files of UCI HAR."""

import numpy as np
import pytest

from mmrepro.datasets.generated.gait import ACTIVITIES, CHANNELS, LENGTH, RATE, gait_folder, gait_window


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_the_same_window_every_time_and_others_by_seed(activity):
    window = gait_window(activity, seed=1)
    assert window.shape == (len(CHANNELS), LENGTH)
    np.testing.assert_array_equal(gait_window(activity, seed=1), window)
    assert (gait_window(activity, seed=2) != window).any()
    # the total acceleration is the body's and gravity's, which is 1 g and constant
    np.testing.assert_allclose(np.linalg.norm(window[6:] - window[:3], axis=0), 1)


def test_walking_moves_at_its_cadence_and_resting_does_not():
    for seed in range(3):
        still = max(gait_window(activity, seed)[:3].std() for activity in ("SITTING", "STANDING", "LAYING"))
        assert still < 0.02 < 0.05 < gait_window("WALKING", seed)[:3].std()
    spectrum = np.abs(np.fft.rfft(gait_window("WALKING", 0)[2]))
    assert np.fft.rfftfreq(LENGTH, 1 / RATE)[spectrum.argmax()] == pytest.approx(1.9, abs=0.4)
    assert gait_window("LAYING", 0)[6].mean() < 0.5 < 0.9 < gait_window("STANDING", 0)[6].mean()


def test_ucis_files():
    folder = gait_folder(train=7, test=6)
    names = [line.split() for line in (folder / "activity_labels.txt").read_text().splitlines()]
    assert names == [[str(number), name] for number, name in enumerate(ACTIVITIES, 1)]
    persons = []
    for part, count in (("train", 7), ("test", 6)):
        labels = np.loadtxt(folder / part / f"y_{part}.txt", dtype=int)
        assert labels.tolist() == [1 + at % 6 for at in range(count)]
        persons.append(np.loadtxt(folder / part / f"subject_{part}.txt", dtype=int))
        for channel in CHANNELS:
            assert np.loadtxt(folder / part / f"Inertial Signals/{channel}_{part}.txt").shape == (count, LENGTH)
    stored = np.loadtxt(folder / "test/Inertial Signals/body_gyro_y_test.txt")
    np.testing.assert_allclose(stored[1], gait_window(ACTIVITIES[1], seed=8)[4], atol=1e-6)
    assert not set(persons[0]) & set(persons[1])


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="activity='RUNNING'"):
        gait_window("RUNNING")
    with pytest.raises(ValueError, match="count=0"):
        gait_folder(train=0)
