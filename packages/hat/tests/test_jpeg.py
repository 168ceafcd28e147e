"""JPEG on the device, against a block worked out by hand and against a real encoder."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from mm_hat.datasets.jpeg import LUMINANCE, DiffJPEG, quality_to_factor


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """Return a smooth coloured picture (1, 3, 48, 64) in whole levels."""
    y, x = np.mgrid[:48, :64] / 10
    colours = np.stack([np.sin(x) + np.cos(y), np.cos(1.7 * x + y), np.sin(0.4 * x * y)])
    colours = (colours - colours.min()) / (colours.max() - colours.min())
    return torch.from_numpy((colours * 255).round() / 255).float()[None]


def decoded(picture: torch.Tensor, quality: int) -> torch.Tensor:
    """Return what Pillow's encoder makes of a grey picture (1, 3, H, W)."""
    stream = io.BytesIO()
    levels = (picture[0, 0].numpy() * 255).round().astype(np.uint8)
    Image.fromarray(levels).save(stream, format="JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(stream)) / np.float32(255)).expand_as(picture)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * math.log10((a - b).square().mean().item())


def test_one_grey_block_by_the_standards_sums():
    levels = np.random.default_rng(3).integers(0, 256, (8, 8)).astype(np.float64)
    quality, table = 40, np.array(LUMINANCE, np.float64).T * (50 / 40)
    scale = [math.sqrt(0.5)] + [1.0] * 7
    angle = [[math.cos((2 * place + 1) * f * math.pi / 16) for place in range(8)] for f in range(8)]
    spectrum = np.zeros((8, 8))
    for u in range(8):
        for v in range(8):
            waves = np.outer(angle[u], angle[v])
            spectrum[u, v] = 0.25 * scale[u] * scale[v] * (waves * (levels - 128)).sum()
    spectrum = np.rint(spectrum / table) * table
    expected = np.zeros((8, 8))
    for u in range(8):
        for v in range(8):
            expected += 0.25 * scale[u] * scale[v] * spectrum[u, v] * np.outer(angle[u], angle[v])
    expected = np.clip(expected + 128, 0, 255) / 255

    image = torch.from_numpy(levels / 255).float().tile(2, 2).expand(1, 3, 16, 16)
    actual = DiffJPEG(differentiable=False)(image, quality)[0, 1, :8, :8]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("quality", [10, 49, 50, 75])
def test_it_does_what_a_real_encoder_does_to_the_transposed_picture(picture, quality):
    grey = picture[:, :1].expand(-1, 3, -1, -1)
    real = decoded(grey.transpose(2, 3), quality).transpose(2, 3)  # our tables are transposed, as officially
    ours = DiffJPEG(differentiable=False)(grey, quality)
    assert psnr(ours, real) > 45  # the encoder rounds its tables and its result
    assert psnr(ours, decoded(grey, quality)) < psnr(ours, real)


def test_each_picture_has_its_own_quality(picture):
    jpeg = DiffJPEG(differentiable=False)
    both = jpeg(picture.expand(2, -1, -1, -1), torch.tensor([20.0, 90.0]))
    torch.testing.assert_close(both[:1], jpeg(picture, 20))
    torch.testing.assert_close(both[1:], jpeg(picture, 90))
    assert psnr(both[1:], picture) > psnr(both[:1], picture) + 3


def test_the_quality_given_is_left_alone(picture):
    quality = torch.tensor([35.0])
    DiffJPEG(differentiable=False)(picture, quality)
    assert quality.item() == 35


@pytest.mark.parametrize(("h", "w"), [(1, 1), (16, 16), (17, 31)])
def test_any_size_keeps_its_size(h, w):
    image = torch.full((2, 3, h, w), 0.5)
    assert DiffJPEG()(image, 90).shape == image.shape


def test_only_the_differentiable_one_has_a_gradient(picture):
    for differentiable in (True, False):
        leaf = picture.clone().requires_grad_()
        DiffJPEG(differentiable)(leaf, 60).sum().backward()
        assert bool(leaf.grad.any()) is differentiable


def test_factors():
    torch.testing.assert_close(quality_to_factor(torch.tensor([25.0, 50.0, 75.0])), torch.tensor([2.0, 1.0, 0.5]))


def test_grey_pictures_are_refused():
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\), not \(1, 1, 8, 8\)"):
        DiffJPEG()(torch.zeros(1, 1, 8, 8), 50)


def test_nothing_enters_a_state_dict():
    assert not DiffJPEG().state_dict()
