"""Pictures and clips to tokens."""

import pytest
import torch

from mm_meta_transformer.tokenizers.image import ImageTokenizer
from mm_meta_transformer.tokenizers.video import VideoTokenizer, number_sinusoids


def test_a_token_is_its_patch_and_its_place():
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(8, img_size=(8, 12), patch_size=4)
    tokenizer.init_weights()
    picture = torch.randn(2, 3, 8, 12)
    tokens, padding, info = tokenizer(picture)
    assert (tokens.shape, padding, info) == ((2, 7, 8), None, {"grid": (2, 3), "prefix": 1})
    patch = tokenizer.patch_embed.proj(picture[:, :, 4:8, 0:4]).flatten(1)
    torch.testing.assert_close(tokens[:, 4], patch + tokenizer.pos_embed[:, 4])
    torch.testing.assert_close(tokens[:, 0], (tokenizer.cls_token[:, 0] + tokenizer.pos_embed[:, 0]).expand(2, -1))
    assert tokenizer.pos_embed.std() > 0.01


def test_one_channel_counts_three_times():
    tokenizer, grey = ImageTokenizer(8, img_size=8, patch_size=4), torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(tokenizer(grey).tokens, tokenizer(grey.repeat(1, 3, 1, 1)).tokens)


def test_without_class_token_and_positions_there_are_patches_alone():
    tokenizer = ImageTokenizer(8, img_size=8, patch_size=4, class_token=False, position=False)
    assert set(tokenizer.state_dict()) == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert tokenizer(torch.zeros(1, 3, 8, 8)).info["prefix"] == 0


def test_positions_of_clips_are_sines_and_cosines_of_the_number():
    table = number_sinusoids(5, 6)[0]
    for at, column in ((0, 0), (3, 2), (4, 4)):
        angle = torch.tensor(at / 10000 ** (column / 6))
        torch.testing.assert_close(table[at, column : column + 2], torch.stack((angle.sin(), angle.cos())))
    torch.manual_seed(0)
    tokenizer, clip = VideoTokenizer(6, num_frames=4, img_size=8, patch_size=4), torch.randn(1, 3, 4, 8, 8)
    tokens = tokenizer(clip)
    assert tokens.info == {"grid": (2, 2, 2), "prefix": 0}
    tubelet = tokenizer.patch_embed.proj(clip[:, :, 2:4, 0:4, 4:8]).flatten(1)
    torch.testing.assert_close(tokens.tokens[:, 5], tubelet + number_sinusoids(8, 6)[:, 5])
    assert "positions" not in tokenizer.state_dict()


def test_other_sizes_are_refused_with_the_fix():
    with pytest.raises(ValueError, match=r"of \(8, 12\), the tokenizer is for \(8, 8\). Fix: resize"):
        ImageTokenizer(8, img_size=8, patch_size=4)(torch.zeros(1, 3, 8, 12))
    with pytest.raises(ValueError, match=r"must be \(B, 3, H, W\)"):
        ImageTokenizer(8, img_size=8, patch_size=4)(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"img_size=\(10, 10\) is no multiple"):
        ImageTokenizer(8, img_size=10, patch_size=4)
    with pytest.raises(ValueError, match="Fix: frames and crop in the pipeline"):
        VideoTokenizer(8, num_frames=4, img_size=8, patch_size=4)(torch.zeros(1, 3, 6, 8, 8))
