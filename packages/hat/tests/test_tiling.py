"""Padding to windows and tiles: against whole images where the network is local, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_hat.models.tiling import check_tile, largest_tile, pad_to_window, restore_tiles, spans


def nearest(image):
    """A network without any context: tiles cannot change its result."""
    return F.interpolate(image, scale_factor=2)


def smoothing(image):
    """A network that sees three pixels to each side, and zeros beyond its input."""
    return F.interpolate(F.avg_pool2d(image, 7, stride=1, padding=3), scale_factor=2)


def own_mean(image):
    """A network whose result depends on all that it sees, as channel attention's does."""
    return F.interpolate(image + image.mean((1, 2, 3), keepdim=True), scale_factor=2)


@pytest.mark.parametrize(("height", "width"), [(37, 50), (40, 48), (9, 16)])
def test_padding_is_torchs_reflection_where_torch_can_reflect(height, width):
    image = torch.rand(2, 3, height, width)
    expected = F.pad(image, (0, -width % 16, 0, -height % 16), mode="reflect")
    assert torch.equal(pad_to_window(image, 16), expected)


def test_short_sides_are_reflected_to_and_fro():
    row = torch.tensor([0.0, 1.0, 2.0]).view(1, 1, 1, 3)
    padded = pad_to_window(row, 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 5].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def test_a_picture_of_one_pixel_is_repeated():
    assert torch.equal(pad_to_window(torch.full((1, 3, 1, 1), 0.5), 16), torch.full((1, 3, 16, 16), 0.5))


def test_a_picture_that_fits_is_not_copied():
    image = torch.rand(1, 3, 32, 16)
    assert pad_to_window(image, 16) is image


@pytest.mark.parametrize("shape", [(1, 3, 0, 16), (3, 16, 16)])
def test_empty_pictures_and_other_dimensions_are_refused(shape):
    with pytest.raises(ValueError, match=r"no empty side"):
        pad_to_window(torch.zeros(shape), 16)


@given(
    windows=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    tile=st.integers(1, 4),
    overlap=st.integers(0, 2),
    feather=st.integers(0, 16),
    batch_size=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_tiles_of_a_network_without_context_are_the_whole_picture(windows, tile, overlap, feather, batch_size):
    image = torch.rand(2, 3, windows[0] * 4, windows[1] * 4)
    feather = min(feather, 8 * overlap)
    tiled = restore_tiles(nearest, image, 2, 4 * tile, 4 * overlap, feather, batch_size)
    assert torch.allclose(tiled, nearest(image), atol=1e-6)


def test_an_overlap_as_wide_as_the_context_leaves_no_seam():
    image = torch.rand(1, 3, 32, 40)
    assert torch.allclose(restore_tiles(smoothing, image, 2, 8, 4), smoothing(image), atol=1e-6)
    assert not torch.allclose(restore_tiles(smoothing, image, 2, 8, 0), smoothing(image), atol=1e-3)


def test_batches_of_tiles_change_nothing():
    image = torch.rand(1, 3, 32, 40)
    one, three = (restore_tiles(own_mean, image, 2, 8, 4, 4, size) for size in (1, 3))
    assert torch.allclose(one, three, atol=1e-6)


def test_feathering_softens_the_seams_and_leaves_the_cores_middle_alone():
    image = torch.linspace(0, 1, 32).expand(1, 3, 16, 32).contiguous()
    hard, soft = (restore_tiles(own_mean, image, 2, 16, 8, feather) for feather in (0, 8))
    seam = [(picture[..., 31] - picture[..., 32]).abs().max() for picture in (hard, soft)]
    assert seam[1] < 0.3 * seam[0]
    assert torch.allclose(hard[..., :24], soft[..., :24])
    assert not torch.allclose(hard[..., 26:38], soft[..., 26:38])


def test_progress_is_reported_for_every_tile():
    seen = []
    restore_tiles(nearest, torch.rand(1, 3, 16, 24), 2, 8, 0, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(i, 6) for i in range(1, 7)]


def test_the_last_tile_may_be_narrower_and_overlap_ends_at_the_border():
    assert [(span.core, span.seen) for span in spans(40, 16, 8)] == [
        ((0, 16), (0, 24)),
        ((16, 32), (8, 40)),
        ((32, 40), (24, 40)),
    ]


def test_unfit_tiles_are_refused_with_what_fits():
    with pytest.raises(ValueError, match="tile of 8 px is smaller than the network's window of 16 px"):
        check_tile(8, 0, 16)
    with pytest.raises(ValueError, match="multiples of the window of 16 px, such as tile=112, overlap=32"):
        check_tile(100, 20, 16)
    with pytest.raises(ValueError, match="feather=9 px: from 0 to 8"):
        restore_tiles(nearest, torch.rand(1, 3, 16, 16), 2, 8, 4, feather=9)


def test_a_network_of_another_scale_is_refused():
    with pytest.raises(ValueError, match=r"scale=4: a tile should become \(32, 32\) px, the network gave \(16, 16\)"):
        restore_tiles(nearest, torch.rand(1, 3, 8, 16), 4, 8, 0)


def test_the_largest_tile_fills_the_memory_and_not_more():
    memory, pixel = 1_000_000, 10.0
    tile = largest_tile((1000, 1000), 16, 32, pixel, memory)
    assert tile % 16 == 0
    assert (tile + 64) ** 2 * pixel <= 0.7 * memory < (tile + 80) ** 2 * pixel
    assert largest_tile((200, 200), 16, 32, pixel, memory) is None


def test_memory_below_the_smallest_tile_is_an_error():
    with pytest.raises(MemoryError, match=r"smallest tile \(16 px and an overlap of 32 px\) needs"):
        largest_tile((1000, 1000), 16, 32, 10.0, 1000)
