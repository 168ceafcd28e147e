"""Label smoothing over the other classes alone."""

import pytest
import torch

from mm_meta_transformer.models.losses.smooth_cross_entropy import SmoothCrossEntropy


def test_the_class_keeps_one_minus_the_smoothing():
    logits, labels = torch.randn(4, 5, 3), torch.randint(5, (4, 3))
    target = torch.full((4, 5, 3), 0.3 / 4).scatter_(1, labels[:, None], 0.7)
    expected = torch.nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(SmoothCrossEntropy(0.3, loss_weight=2.0)(logits, labels), 2 * expected)


def test_a_smoothing_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"smoothing=1.0 must be in \[0, 1\)"):
        SmoothCrossEntropy(1.0)
