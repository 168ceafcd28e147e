"""The audio tokenizer: places of the tokens, class token and positions, and sizes that do not fit."""

import pytest
import torch
from mmpretrain.registry import MODELS


def tokenizer(**settings):
    torch.manual_seed(0)
    built = MODELS.build(dict(type="AudioTokenizer", embed_dims=8, patch_size=4, stride=3) | settings)
    built.init_weights()
    return built


def test_tokens_lie_along_time_within_one_row_of_frequencies():
    plain = tokenizer(class_token=False, position=None)
    sound = torch.zeros(1, 13, 10)  # frames, bins
    base = plain(sound)
    assert base.tokens.shape == (1, 3 * 4, 8)
    assert base.info == {"grid": (3, 4), "prefix": 0}
    sound[0, 10, 0] = 1  # late, low
    changed = (plain(sound).tokens != base.tokens).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [3]
    sound[0, 10, 0], sound[0, 0, 9] = 0, 1  # early, high
    changed = (plain(sound).tokens != base.tokens).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [8]


def test_steps_along_frequency_and_time_may_differ():
    steps = tokenizer(stride=(2, 3), class_token=False, position=None)
    sound = torch.randn(2, 13, 10)
    tokens = steps(sound)
    assert tokens.info["grid"] == (4, 4)
    expected = torch.nn.functional.conv2d(sound.transpose(1, 2)[:, None], steps.proj.weight, steps.proj.bias, (2, 3))
    torch.testing.assert_close(tokens.tokens, expected.flatten(2).transpose(1, 2))


def test_the_class_token_is_first_and_has_a_position():
    whole = tokenizer(input_size=(10, 13))
    tokens = whole(torch.randn(2, 13, 10))
    assert tokens.tokens.shape == (2, 13, 8)
    assert tokens.info["prefix"] == 1
    assert tokens.padding is None
    torch.testing.assert_close(tokens.tokens[:, 0], (whole.cls_token + whole.pos_embed[:, :1])[0].expand(2, -1))
    assert whole.cls_token.abs().min() > 0
    assert 0.01 < whole.pos_embed.std() < 0.03


def test_what_init_cfg_loads_is_kept(tmp_path):
    file = {key: torch.randn_like(value) for key, value in tokenizer(input_size=(10, 13)).state_dict().items()}
    torch.save(file, tmp_path / "audio.pth")
    init = dict(type="Pretrained", checkpoint=str(tmp_path / "audio.pth"))
    found = tokenizer(input_size=(10, 13), init_cfg=init).state_dict()
    assert all(torch.equal(found[key], value) for key, value in file.items())


def test_settings_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="position='sinusoid' is not known"):
        tokenizer(position="sinusoid")
    with pytest.raises(ValueError, match="position='learned' needs input_size"):
        tokenizer()
    with pytest.raises(ValueError, match=r"3 bins and 13 frames has no patch of 4.*num_bins of FilterBank"):
        tokenizer(input_size=(3, 13))


def test_a_spectrogram_of_another_size_is_refused_with_what_to_set():
    with pytest.raises(ValueError, match=r"\(1, 10, 13\).*reads \(B, 13, 10\)(.|\n)*num_bins of FilterBank"):
        tokenizer(input_size=(10, 13))(torch.randn(1, 10, 13))
    with pytest.raises(ValueError, match=r"\(1, 1, 13, 10\).*reads \(B, frames, bins\)"):
        tokenizer(position=None)(torch.randn(1, 1, 13, 10))
    with pytest.raises(ValueError, match=r"\(13,\).*reads \(B, frames, bins\)"):
        tokenizer(position=None)(torch.randn(13))
