"""The operations that the first tier counts are those of the published widths."""

import pytest
import torch
from mmengine.registry import MODELS

from mmrepro.reproduction import complexity


@pytest.mark.parametrize("heads", [1, 3])
def test_heads_that_are_filled_up_to_run_fast_count_with_their_published_width(heads):
    sizes = dict(img_size=16, window_size=8, squeeze_factor=6, depths=(1,), embed_dim=30, num_heads=(heads,), upscale=2)
    with torch.device("meta"):
        restorer = MODELS.build(dict(type="ImageRestorer", generator=dict(type="HAT", **sizes))).to("meta")
    tokens, width, window, larger = 16 * 16, 30, 8 * 8, 12 * 12
    hybrid = 8 * width**2 + 2 * window * width + 2 * 9 * width * (width // 3)
    overlapping = 8 * width**2 + 2 * larger * width
    convolutions = 2 * 9 * width**2 + 9 * 3 * width + 9 * width * 64 + 9 * 64 * 256 + 4 * 9 * 64 * 3
    attention_of_channels = 2 * width * (width // 6)
    expected = tokens * (hybrid + overlapping + convolutions) + attention_of_channels
    assert round(complexity.gmacs(restorer, (3, 16, 16)) * 1e9) == expected
