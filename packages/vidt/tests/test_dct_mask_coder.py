"""Masks as coefficients: the zigzag, both ways of the transform, and pasting, against OpenCV one by one."""

from pathlib import Path

import pytest
import torch

from mm_vidt.models import dct_mask_coder
from mm_vidt.models.dct_mask_coder import DCTMaskCoder, zigzag
from mmrepro.testing import SplitAdapter

plain_official = SplitAdapter(Path(__file__).resolve().parent, {}).part("plain_official")


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 256, generator=random) * torch.linspace(8, 0.1, 256)


def discs(count: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    centres = torch.rand(count, 2, 1, 1, generator=random) * 60 + 34
    return (y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2 < 30**2


@pytest.mark.parametrize("size", [1, 7, 8, 128])
def test_the_zigzag_is_that_of_a_walk(size):
    walked = [row * size + column for row, column in plain_official.zigzag_walk(size)]
    assert zigzag(size, size * size).tolist() == walked


def test_maps_and_pixels_are_opencvs():
    coder, given = DCTMaskCoder(), vectors(6)
    maps, binary = plain_official.plain_decode(given)
    torch.testing.assert_close(coder.decode(given), maps, atol=1e-5, rtol=1e-5)
    assert torch.equal(coder.binary(coder.decode(given)), binary)


def test_coefficients_are_opencvs_and_come_back():
    coder, masks = DCTMaskCoder(), discs(3)
    encoded = coder.encode(masks)
    expected = torch.stack([torch.from_numpy(plain_official.plain_vector(mask.numpy())) for mask in masks])
    torch.testing.assert_close(encoded, expected, atol=1e-4, rtol=1e-5)
    assert (coder.binary(coder.decode(encoded)) == masks).float().mean() > 0.99
    torch.testing.assert_close(coder.encode(coder.decode(vectors(4))), vectors(4), atol=1e-4, rtol=1e-4)


def test_any_number_of_coefficients_of_any_size():
    coder = DCTMaskCoder(mask_size=8, n_keep=64)
    masks = (torch.rand(5, 8, 8) > 0.5).float()
    torch.testing.assert_close(coder.decode(coder.encode(masks)), masks)
    for n_keep in (0, 65):
        with pytest.raises(ValueError, match=rf"n_keep={n_keep}: a mask of 8 x 8 has 1 to 64"):
            DCTMaskCoder(mask_size=8, n_keep=n_keep)


def test_a_map_without_contrast_and_no_maps_give_empty_masks():
    coder = DCTMaskCoder()
    assert not coder.binary(coder.decode(torch.zeros(2, 256))).any()
    assert coder.masks(torch.zeros(0, 256), torch.zeros(0, 4), 5, 6).shape == (0, 5, 6)
    assert coder.encode(torch.zeros(0, 128, 128)).shape == (0, 256)


def test_half_precision_and_autocast_are_computed_in_float32():
    coder, given = DCTMaskCoder(), vectors(3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(coder.decode(given), coder.decode(given.float()))
        assert coder.encode(discs(2)).dtype == torch.float32


def test_a_device_without_autocast_is_taken():
    coder = DCTMaskCoder().to("meta")
    assert coder.encode(discs(2).to("meta")).shape == (2, 256)
    assert coder.decode(vectors(2).to("meta")).shape == (2, 128, 128)


BOXES = torch.tensor(
    [
        [3.2, 4.7, 40.1, 33.3],
        [-20.5, -7.3, 30.2, 60.9],  # out of the image on all sides but one
        [10.1, 5.1, 10.9, 30.2],  # narrower than a pixel
        [-50.0, -50.0, -10.0, -10.0],  # outside
        [70.0, 10.0, 95.0, 55.0],
    ]
)


def test_pasting_is_looking_up_each_pixel(monkeypatch):
    coder = DCTMaskCoder()
    binary = torch.cat([discs(4), torch.ones(1, 128, 128, dtype=torch.bool)])
    expected = plain_official.plain_paste(binary, BOXES, 48, 80)
    assert expected.flatten(1).any(1).tolist() == [True, True, True, False, True]
    assert torch.equal(coder.paste(binary, BOXES, 48, 80), expected)
    given = vectors(5)
    monkeypatch.setattr(dct_mask_coder, "PIXELS_AT_ONCE", 2 * 128 * 128)
    expected = plain_official.plain_paste(plain_official.plain_decode(given)[1], BOXES, 48, 80)
    assert torch.equal(coder.masks(given, BOXES, 48, 80), expected)


def test_a_box_without_an_area_has_an_empty_mask():
    boxes = torch.tensor([[5.0, 5.0, 5.0, 20.0], [9.0, 9.0, 3.0, 20.0], [5.0, 7.0, 9.0, 7.0]])
    assert not DCTMaskCoder().paste(torch.ones(3, 128, 128, dtype=torch.bool), boxes, 30, 30).any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_box_that_is_not_finite_has_an_empty_mask_and_leaves_the_others(value):
    coder, binary, boxes = DCTMaskCoder(), discs(3), BOXES[:3].clone()
    expected = coder.paste(binary, boxes, 48, 80)
    boxes[1, 2] = value
    found = coder.paste(binary, boxes, 48, 80)
    assert expected[1].any()
    assert not found[1].any()
    assert torch.equal(found[::2], expected[::2])


def test_it_saves_nothing():
    assert not DCTMaskCoder().state_dict()
