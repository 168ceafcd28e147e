"""Blur kernels of the real-world degradation."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from mm_hat.datasets.degradation_kernels import (
    KINDS,
    BlurSettings,
    circular_lowpass,
    delta,
    gaussian_family,
    pad_kernel,
    random_final_sinc,
    random_kernel,
)


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002


def moments(kernel: np.ndarray) -> np.ndarray:
    """Return the covariance of (x, y) under a kernel."""
    y, x = np.indices(kernel.shape) - len(kernel) // 2
    return np.array(
        [[(kernel * x * x).sum(), (kernel * x * y).sum()], [(kernel * x * y).sum(), (kernel * y * y).sum()]]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_sums_to_one_and_is_symmetric_about_its_centre(kind):
    for number in range(5):
        seed(number)
        kernel = random_kernel([kind], [1], 21)
        assert kernel.sum() == pytest.approx(1)
        assert kernel.min() >= 0
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)


def test_an_isotropic_gaussian_is_the_product_of_two():
    axis = np.exp(-0.5 * (np.arange(-10, 11) / 1.7) ** 2)
    expected = np.outer(axis, axis) / axis.sum() ** 2
    np.testing.assert_allclose(gaussian_family(21, 1.7, 1.7), expected, atol=1e-15)


def test_the_ellipse_has_the_deviations_and_the_rotation_asked_for():
    sigma_x, sigma_y, angle = 2.5, 1.2, 0.6
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T
    np.testing.assert_allclose(moments(gaussian_family(41, sigma_x, sigma_y, angle)), expected, atol=1e-3)


def test_beta_flattens_the_top_and_steepens_the_flanks():
    flat, usual = (gaussian_family(21, 3, 3, beta=beta) for beta in (4, 1))
    centre = 10
    assert flat[centre, centre + 2] / flat[centre, centre] > usual[centre, centre + 2] / usual[centre, centre]
    assert flat[centre, centre + 6] / flat[centre, centre] < usual[centre, centre + 6] / usual[centre, centre]


def test_a_plateau_is_half_as_high_one_deviation_from_its_centre():
    kernel = gaussian_family(21, 3, 3, profile="plateau", beta=1.6)
    assert kernel[10, 13] / kernel[10, 10] == pytest.approx(0.5)


def test_a_sinc_passes_low_and_stops_high_frequencies():
    cutoff = 1.2
    response = np.abs(np.fft.fft2(circular_lowpass(cutoff, 201)))
    frequency = 2 * np.pi * np.fft.fftfreq(201)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    assert response[radius < 0.8 * cutoff].min() > 0.9
    assert response[radius > 1.2 * cutoff].max() < 0.1


def test_the_settings_draw_what_they_say():
    settings = BlurSettings(sinc_prob=0, kernel_list=["iso"], kernel_prob=[1], blur_sigma=(0.5, 0.6), kernel_sizes=(7,))
    seed(0)
    kernel = settings.draw()
    assert kernel.shape == (21, 21)
    assert (np.pad(np.ones((7, 7)), 7)[kernel > 0] == 1).all()
    assert 0.25 < moments(kernel)[0, 0] < 0.37
    assert BlurSettings(sinc_prob=1).draw().min() < 0  # sincs ring


def test_the_draws_follow_both_global_generators():
    def draw(python: int, numpy: int) -> np.ndarray:
        random.seed(python)
        np.random.seed(numpy)  # noqa: NPY002
        return BlurSettings().draw()

    np.testing.assert_array_equal(draw(1, 2), draw(1, 2))
    assert not np.array_equal(draw(1, 2), draw(1, 3))
    assert not np.array_equal(draw(1, 2), draw(5, 2))


def test_the_last_kernel_is_a_sinc_or_does_nothing():
    np.testing.assert_array_equal(random_final_sinc(0), delta())
    assert (random_final_sinc(1) < 0).any()


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: gaussian_family(8, 1, 1), "odd, not 8"),
        (lambda: gaussian_family(7, 1, 1, profile="box"), "'box' is not known"),
        (lambda: circular_lowpass(4, 7), "cutoff=4"),
        (lambda: random_kernel(["box"], [1]), "'box' is not known"),
        (lambda: random_kernel(sigma=(3, 1)), "sigma=.* empty range"),
        (lambda: pad_kernel(np.ones((23, 23))), "23 does not fit into 21"),
        (lambda: BlurSettings(kernel_list=["iso"]), "1 kinds in kernel_list, 6 in kernel_prob"),
        (lambda: BlurSettings(kernel_list=["box"], kernel_prob=[1]), r"\['box'\]"),
        (lambda: BlurSettings(blur_kernel_size=11), "21 does not fit into blur_kernel_size=11"),
    ],
)
def test_bad_settings_are_named(call, fault):
    with pytest.raises(ValueError, match=fault):
        call()
