"""Feed-forward parts over three levels, against the steps of the paper on separate maps."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import revert_sync_batchnorm

from mm_vit_comer.models import token_ffn
from mm_vit_comer.models.token_ffn import MRFP
from mmrepro.dense.token_levels import token_levels


@pytest.fixture
def levels():
    return token_levels(4, 6, torch.zeros(1))


def separate(tokens):
    """Each level's map by copies, as the official code has them."""
    sizes = ((8, 12), (4, 6), (2, 3))
    parts = tokens.split([h * w for h, w in sizes], 1)
    return [part.transpose(1, 2).reshape(len(tokens), -1, *size) for part, size in zip(parts, sizes, strict=True)]


def together(maps):
    return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1)


@pytest.mark.parametrize("training", [False, True])
def test_each_level_has_its_own_two_sizes_and_norm_and_two_gelus_follow(levels, training):
    mrfp, tokens = MRFP(8, 12).train(training), torch.randn(2, 126, 8)
    for norm in (mrfp.dwconv.bn1, mrfp.dwconv.bn2, mrfp.dwconv.bn3):
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
        torch.nn.init.normal_(norm.running_mean)
    stage, maps = mrfp.dwconv, []
    for level, one in enumerate(separate(mrfp.fc1(tokens)), 1):
        small, large = getattr(stage, f"dwconv{2 * level - 1}"), getattr(stage, f"dwconv{2 * level}")
        both = torch.cat([small(one[:, :6]), large(one[:, 6:])], 1)
        norm = getattr(stage, f"bn{level}")
        both = F.batch_norm(
            both, norm.running_mean.clone(), norm.running_var.clone(), norm.weight, norm.bias, training, eps=1e-5
        )
        maps.append(F.gelu(F.gelu(both)))
    assert torch.allclose(mrfp(tokens, levels), mrfp.fc2(together(maps)), atol=1e-5)


@pytest.mark.parametrize("halves", [[4, 4, 4], [4, 4, 3], [3, 3, 3], [10]])
def test_inference_in_parts_is_the_whole(levels, monkeypatch, halves):
    mrfp, tokens = MRFP(8, 2 * sum(halves)).eval(), torch.randn(2, 126, 8)
    for norm in (mrfp.dwconv.bn1, mrfp.dwconv.bn2, mrfp.dwconv.bn3):
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.normal_(norm.weight)
    with torch.no_grad():
        whole, widths = mrfp(tokens, levels), []
        monkeypatch.setattr(token_ffn, "CHANNELS", 4 if len(halves) > 1 else 10)
        monkeypatch.setattr(mrfp.dwconv, "forward", None)  # the whole width is not made
        some = mrfp.dwconv.some
        monkeypatch.setattr(mrfp.dwconv, "some", lambda part, *rest: widths.append(part.shape[2]) or some(part, *rest))
        assert torch.allclose(mrfp._in_parts(tokens, levels), whole, atol=1e-6)
    assert widths == 2 * halves


@pytest.mark.parametrize(("embed_dim", "hidden", "in_parts"), [(8, 16, False), (8, 18, True), (2, 8, False)])
def test_parts_are_for_widths_that_are_several_times_that_of_the_tokens(
    levels, monkeypatch, embed_dim, hidden, in_parts
):
    monkeypatch.setattr(token_ffn, "CHANNELS", 4)
    mrfp, taken = MRFP(embed_dim, hidden).eval(), []
    monkeypatch.setattr(mrfp, "_in_parts", lambda *_: taken.append(True))
    with torch.no_grad():
        mrfp(torch.randn(1, 126, embed_dim), levels)
    assert taken == [True] * in_parts


def test_norms_over_channels_are_not_taken_apart(levels, monkeypatch):
    monkeypatch.setattr(token_ffn, "CHANNELS", 4)
    mrfp, tokens = MRFP(8, 18, {"type": "GN", "num_groups": 3}).eval(), torch.randn(2, 126, 8)
    with torch.no_grad():
        without_gradient = mrfp(tokens, levels)
    assert torch.allclose(without_gradient, mrfp(tokens, levels), atol=1e-6)


@pytest.mark.parametrize("layer", ["fc1", "fc2", "dwconv", "dwconv.dwconv2", "dwconv.bn3"])
def test_a_layer_with_a_hook_is_called(levels, monkeypatch, layer):
    monkeypatch.setattr(token_ffn, "CHANNELS", 4)
    mrfp, tokens, calls = MRFP(8, 18).eval(), torch.randn(2, 126, 8), []
    with torch.no_grad():
        mrfp.get_submodule(layer).register_forward_hook(lambda *_: calls.append(layer))
        mrfp(tokens, levels)
    assert calls


@pytest.mark.parametrize("layer", ["fc1", "fc2", "dwconv.dwconv5", "dwconv.bn1"])
def test_a_replaced_layer_is_called(levels, monkeypatch, layer):
    monkeypatch.setattr(token_ffn, "CHANNELS", 4)
    mrfp, tokens = MRFP(8, 18).eval(), torch.randn(2, 126, 8)
    own = mrfp.get_submodule(layer)

    class Doubled(type(own)):
        def forward(self, given):
            return 2 * super().forward(given)

    own.__class__ = Doubled
    with torch.no_grad():
        without_gradient = mrfp(tokens, levels)
    assert torch.allclose(without_gradient, mrfp(tokens, levels), atol=1e-6)


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "reverted"])
def test_every_batch_norm_in_evaluation_is_taken_apart(norm):
    mrfp = MRFP(8, 12, {"type": "BN" if norm == "BN" else "SyncBN"}).eval()
    if norm == "reverted":
        mrfp = revert_sync_batchnorm(mrfp)
    assert mrfp.dwconv.separates()
    assert not mrfp.train().dwconv.separates()


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="hidden width of the MRFP is 9; it must be even: change mrfp_ratio"):
        MRFP(18, 9)
