"""Token labels against the one-hot picture of all classes, and their losses against autograd's."""

from pathlib import Path

import pytest
import torch

from mm_vidt.models import token_labels
from mm_vidt.models.token_labels import first_channel, token_channels, token_label_losses, token_label_targets
from mmrepro.testing import SplitAdapter

plain_official = SplitAdapter(Path(__file__).resolve().parent, {}).part("plain_official")

SIZES = [(2, 2), (3, 5), (7, 9), (12, 16)]  # of bins that share pixels, too


def objects(count: int, height: int = 93, width: int = 130, seed: int = 0) -> torch.Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values
    y, x = (torch.arange(side) / side for side in (height, width))
    (top, left), (bottom, right) = ((corners[:, end, :, None].unbind(1)) for end in (0, 1))
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return (rows[:, :, None] & columns[:, None]).to(torch.uint8)


def test_shares_are_those_of_the_one_hot_picture(monkeypatch):
    monkeypatch.setattr(token_labels, "PIXELS_AT_ONCE", 1000)
    masks, channels = [objects(5), objects(0), objects(3, seed=1)], [[4, 2, 4, 11, 1], [], [3, 3, 3]]
    expected = plain_official.plain_token_targets(masks, channels, SIZES, 12)
    found = token_label_targets(masks, channels, SIZES, 12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert not found[0][1].any()


def test_more_objects_than_a_byte_counts():
    masks, channels = [objects(300)], [[1 + place % 7 for place in range(300)]]
    found, expected = (
        make(masks, channels, SIZES, 8) for make in (token_label_targets, plain_official.plain_token_targets)
    )
    torch.testing.assert_close(found[3], expected[3], atol=1e-6, rtol=0)


def test_maps_finer_than_the_picture_repeat_pixels():
    masks = [objects(2, 4, 6)]
    found, expected = (
        make(masks, [[1, 2]], [(8, 9)], 3) for make in (token_label_targets, plain_official.plain_token_targets)
    )
    torch.testing.assert_close(found[0], expected[0])


@pytest.mark.parametrize("boxes", [3.0, 1.0])
def test_losses_and_gradients_are_autograds(boxes, monkeypatch):
    monkeypatch.setattr(token_labels, "LOCATIONS_AT_ONCE", 50)
    random = torch.Generator().manual_seed(0)
    logits = [(torch.randn(2, *size, 6, generator=random) * 3).requires_grad_() for size in SIZES]
    masks, channels = [objects(3), objects(0)], [[4, 2, 5], []]
    results = []
    for ours in (True, False):
        if ours:
            sums = token_label_losses(logits, token_label_targets(masks, channels, SIZES, 6))
            focal, dice = (one / boxes for one in sums)
        else:
            focal, dice = plain_official.plain_token_losses(logits, masks, channels, boxes)
        gradients = torch.autograd.grad(2 * focal + 3 * dice, logits)
        results.append([focal, dice, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_the_gradients_are_those_of_differences():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, generator=random, dtype=torch.float64, requires_grad=True)
    wanted = torch.rand(2, 2, 3, 4, generator=random, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda one: token_label_losses([one], [wanted]), (logits,))


def test_extreme_logits_stay_finite():
    logits = (torch.rand(1, 4, 4, 5) * 2e4 - 1e4).requires_grad_()
    focal, dice = token_label_losses([logits], [torch.rand(1, 4, 4, 5)])
    (focal + dice).backward()
    assert torch.isfinite(focal)
    assert torch.isfinite(logits.grad).all()


def test_contiguous_labels_have_one_channel_more():
    assert (first_channel("contiguous"), first_channel("raw")) == (1, 0)
    assert (token_channels(80, "contiguous"), token_channels(91, "raw")) == (81, 91)
    with pytest.raises(ValueError, match=r"labels='coco': 'contiguous' .* or 'raw'"):
        token_channels(80, "coco")
