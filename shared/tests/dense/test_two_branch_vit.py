"""The frame of the backbones: what interactions are given, which maps come out, what is refused."""

import pytest
import torch
from torch import nn

from mmrepro.dense.plain_vit import vit_blocks
from mmrepro.dense.two_branch_vit import TwoBranchViT, arch_of, interaction_spans

SIZE = dict(embed_dim=8, depth=4, num_heads=2)


class Counting(nn.Module):
    """An exchange that changes nothing and keeps what it was given."""

    def forward(self, x, c, blocks, levels):
        self.given = x, c, levels
        return blocks(x), c + 1


def network(spans=((0, 0), (1, 3)), **given):
    torch.manual_seed(0)
    interactions = [Counting() for _ in spans]
    return TwoBranchViT(8, vit_blocks(**SIZE), spans, lambda: interactions, 64, conv_inplane=4, **given).eval()


def test_interactions_are_given_both_branches_tokens_and_run_all_blocks_in_order():
    whole = network()
    with torch.no_grad():
        whole(torch.randn(1, 3, 64, 96))
        (x, c, levels), (later, further, _) = (one.given for one in whole.interactions)
        assert (x.shape, c.shape) == ((1, 24, 8), (1, 126, 8))
        assert levels.sizes == ((8, 12), (4, 6), (2, 3))
        assert torch.equal(later, whole.run_blocks(x, 4, 6, 0, 0))
        assert torch.equal(further, c + 1)


def test_maps_are_those_asked_for_and_the_vits_first():
    maps = network(out_indices=(1, 3), out_x=True)(torch.randn(1, 3, 40, 64))
    assert [tuple(one.shape[2:]) for one in maps] == [(3, 4), (5, 8), (2, 2)]
    assert not hasattr(network(out_indices=(1, 3)), "up")


def test_the_vits_maps_are_added_where_asked():
    torch.manual_seed(1)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        last, none = network()(images), network(add_vit_feature=None)(images)
    assert all(not torch.allclose(one, other) for one, other in zip(last, none, strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(add_vit_feature="all"), "add_vit_feature='all' is unknown"),
        (dict(add_vit_feature="stages"), "there are 2 interactions: give as many, or 'last'"),
        (dict(out_indices=(2, 1)), r"out_indices=\(2, 1\) must be some of 0, 1, 2 and 3"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        network(**given)


def test_interactions_cover_the_blocks():
    assert interaction_spans(None, 12) == ((0, 2), (3, 5), (6, 8), (9, 11))
    assert interaction_spans([[0, 1], [2, 2]], 3) == ((0, 1), (2, 2))
    with pytest.raises(ValueError, match="a depth of 6 has no equal quarters"):
        interaction_spans(None, 6)
    with pytest.raises(ValueError, match="must cover the blocks 0 to 3 in order"):
        interaction_spans([[0, 1], [3, 3]], 4)


def test_sizes_have_names_or_all_their_keys():
    assert arch_of("s", {"s": SIZE}) == (SIZE, "s")
    assert arch_of(SIZE, {}) == (SIZE, "dict")
    with pytest.raises(ValueError, match="arch='t' is unknown; there are 's'"):
        arch_of("t", {"s": SIZE})
    with pytest.raises(ValueError, match="it needs embed_dim, depth and num_heads"):
        arch_of(dict(embed_dim=8), {})
