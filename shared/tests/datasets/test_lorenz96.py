"""The generated series: the right equation, the same bytes, chaotic."""

import hashlib

import numpy as np
import pytest

from mmrepro.datasets.lorenz96 import lorenz96


def test_the_same_arguments_give_the_same_bytes():
    series = lorenz96(steps=500)
    assert series.shape == (500, 8)
    assert hashlib.sha256(series.tobytes()).hexdigest().startswith("58400d18d8a1a90f")
    assert not np.array_equal(series, lorenz96(steps=500, seed=1))


def test_it_solves_the_equation():
    dt, forcing = 1e-3, 8.0
    x = lorenz96(steps=3, variates=5, dt=dt, steps_per_sample=1, spin_up=500)
    slope = [(x[1, (i + 1) % 5] - x[1, i - 2]) * x[1, i - 1] - x[1, i] + forcing for i in range(5)]
    np.testing.assert_allclose((x[2] - x[0]) / (2 * dt), slope, rtol=1e-3)


def test_without_forcing_everything_dies_out():
    np.testing.assert_allclose(lorenz96(steps=2, forcing=0.0, spin_up=4000), 0, atol=1e-15)


def test_sampling_takes_every_nth_state():
    fine = lorenz96(steps=9, steps_per_sample=1)
    np.testing.assert_array_equal(lorenz96(steps=3, steps_per_sample=4), fine[::4])


def test_it_is_chaotic_and_stays_bounded():
    series = lorenz96(steps=3000)
    assert np.abs(series).max() < 20
    assert (series.std(axis=0) > 3).all()
    # A tenth of a per mille more forcing: alike at first, unrelated after many doubling times
    other = lorenz96(steps=3000, spin_up=0, forcing=8.0008)
    same = lorenz96(steps=3000, spin_up=0)
    assert np.abs(other - same)[:20].max() < 0.01
    assert np.abs(other - same)[-500:].max() > 5


@pytest.mark.parametrize("arguments", [{"variates": 3}, {"steps": 0}, {"spin_up": -1}, {"steps_per_sample": 0}])
def test_arguments_without_meaning_are_refused(arguments):
    with pytest.raises(ValueError, match="=".join(map(str, next(iter(arguments.items()))))):
        lorenz96(**arguments)
