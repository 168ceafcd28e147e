"""The convolutional feed-forward part, against its steps on separate maps."""

import torch
import torch.nn.functional as F

from mmrepro.dense.conv_ffn import ConvFFN
from mmrepro.dense.token_levels import token_levels


def test_one_depthwise_convolution_serves_all_levels():
    ffn, tokens = ConvFFN(8, 6), torch.randn(2, 126, 8)
    parts = ffn.fc1(tokens).split([96, 24, 6], 1)
    maps = [
        part.transpose(1, 2).reshape(2, 6, *size) for part, size in zip(parts, ((8, 12), (4, 6), (2, 3)), strict=True)
    ]
    convolved = torch.cat([ffn.dwconv.dwconv(one).flatten(2).transpose(1, 2) for one in maps], 1)
    assert torch.allclose(ffn(tokens, token_levels(4, 6, tokens)), ffn.fc2(F.gelu(convolved)), atol=1e-6)
