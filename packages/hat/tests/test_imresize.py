"""MATLAB's bicubic resize: against stored images, and what must hold whatever the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mm_hat.datasets.imresize import cubic, imresize, output_size
from mmrepro.testing.data import require_data


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def slow_resize(line: np.ndarray, scale: float) -> np.ndarray:
    """MATLAB's definition for one row, pixel by pixel, on a signal mirrored far enough."""
    side, shrink = len(line), min(scale, 1.0)
    mirrored = np.concatenate([line, line[::-1]])
    out = []
    for x in range(1, output_size(side, scale) + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        places = np.arange(np.floor(u - 4 / shrink), np.ceil(u + 4 / shrink) + 1)
        weights = cubic((u - places) * shrink)
        out.append((weights / weights.sum()) @ mirrored[(places.astype(int) - 1) % (2 * side)])
    return np.array(out)


@given(st.integers(1, 23), st.sampled_from([1 / 4, 1 / 3, 1 / 2, 0.7, 1.0, 1.5, 2, 3, 4]))
@settings(max_examples=40, deadline=None)
def test_one_axis_equals_the_definition(side, scale):
    line = np.random.default_rng(side).random(side)
    resized = imresize(np.repeat(line[:, None], 2, axis=1), scale)
    np.testing.assert_allclose(resized[:, 0], slow_resize(line, scale), atol=1e-12)


@pytest.mark.parametrize("name", ["set5", "set14"])
def test_the_stored_benchmark_images_come_out_bit_by_bit(name):
    files = require_data(name)
    for low_name in [name for name in files if name.endswith("_LR.png")][::3]:
        scale = int(low_name.split("_SRF_")[1][0])
        truth = np.asarray(Image.open(files[low_name.replace("LR", "HR")]))
        truth = truth[: truth.shape[0] // scale * scale, : truth.shape[1] // scale * scale]
        low = imresize(truth, 1 / scale, mode="uint8", border="replicate")
        np.testing.assert_array_equal(low, np.asarray(Image.open(files[low_name])), err_msg=low_name)


def test_symmetric_and_replicated_borders_differ_at_the_border_only():
    image = picture(40, 40, 3)
    difference = np.abs(imresize(image, 1 / 4) - imresize(image, 1 / 4, border="replicate")).max(-1)
    assert difference[0].max() > 1e-4
    assert difference[2:-2, 2:-2].max() == 0  # the kernel reaches two low-resolution pixels


@pytest.mark.parametrize("scale", [1 / 3, 0.7, 2])
def test_a_flat_image_stays_flat_and_a_transposed_one_is_transposed(scale):
    np.testing.assert_allclose(imresize(np.full((9, 7, 3), 0.3, np.float32), scale), 0.3, atol=1e-6)
    image = picture(12, 12)
    np.testing.assert_allclose(imresize(image.T, scale), imresize(image, scale).T, atol=1e-6)


def test_arrays_and_tensors_give_the_same_and_keep_their_layout():
    image = picture(10, 14, 3)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = imresize(tensor, 1 / 2)
    assert resized.shape == (1, 3, 5, 7)
    np.testing.assert_allclose(resized[0].permute(1, 2, 0).numpy(), imresize(image, 1 / 2), atol=1e-7)


def test_a_gradient_flows_through_tensors():
    tensor = torch.rand(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: imresize(image, 2), tensor)


def test_the_input_is_left_alone():
    for scale in (1, 2):
        image = picture(6, 6)
        before = image.copy()
        image.flags.writeable = False  # as Pillow's are
        resized = imresize(image, scale)
        np.testing.assert_array_equal(image, before)
        assert not np.shares_memory(resized, image)


def test_uint8_rounds_half_up_and_clips():
    step = np.zeros((16, 16), np.uint8)
    step[:, 8:] = 255
    resized = imresize(step, 2, mode="uint8")
    assert resized.dtype == np.uint8
    floats = imresize(step.astype(np.float64), 2)
    assert floats.max() > 255.5  # the kernel overshoots
    np.testing.assert_array_equal(resized, np.floor(floats + 0.5).clip(0, 255))


def test_a_side_is_rounded_up_without_slips_of_floating_point():
    assert output_size(25, 1 / 2) == 13
    assert all(output_size(scale * 7, 1 / scale) == 7 for scale in range(1, 200))


@pytest.mark.parametrize(
    ("image", "arguments", "fault", "said"),
    [
        (np.zeros((4, 4), np.uint8), {}, TypeError, "image / 255"),
        (np.zeros((4, 4), np.float32), {"mode": "uint8"}, TypeError, "needs an image of type uint8"),
        (np.zeros((0, 4), np.float32), {}, ValueError, "empty"),
        (np.zeros(4, np.float32), {}, ValueError, r"\(H, W\)"),
        (torch.zeros(4), {}, ValueError, r"\(..., H, W\)"),
        ([[1.0]], {}, TypeError, "array or a tensor"),
        (np.zeros((4, 4), np.float32), {"scale": 0}, ValueError, "positive"),
        (np.zeros((4, 4), np.float32), {"mode": "int"}, ValueError, "'float' or 'uint8'"),
        (np.zeros((4, 4), np.float32), {"border": "zero"}, ValueError, "'symmetric' or 'replicate'"),
    ],
)
def test_what_cannot_be_resized_is_refused(image, arguments, fault, said):
    with pytest.raises(fault, match=said):
        imresize(image, **({"scale": 2} | arguments))
