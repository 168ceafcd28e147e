"""Clouds of points to tokens."""

import pytest
import torch

from mm_meta_transformer.tokenizers.points import P3Tokenizer, PointPatchTokenizer


@pytest.fixture
def patches():
    return PointPatchTokenizer(embed_dims=16, group_size=8, channels=(8, 8, 8)).eval()


def test_a_quarter_of_the_points_become_tokens_behind_the_class_token(patches):
    points = torch.rand(2, 64, 3)
    tokens = patches(points)
    assert tokens.tokens.shape == tokens.info["position"].shape == (2, 17, 16)
    assert (tokens.padding, tokens.info["prefix"]) == (None, 1)
    assert torch.equal(tokens.info["centres"][:, 0], points[:, 0])
    torch.testing.assert_close(tokens.info["position"][:, 1:], patches.pos_embed(tokens.info["centres"]))


def test_patches_see_places_from_their_centre_and_positions_do_not(patches):
    points = torch.rand(1, 64, 3)
    here, there = patches(points), patches(points + 0.5)
    torch.testing.assert_close(here.tokens, there.tokens, rtol=1e-4, atol=1e-4)
    assert (here.info["position"] - there.info["position"])[:, 1:].abs().max() > 1e-3


def test_the_order_of_the_other_points_does_not_matter(patches):
    points = torch.rand(1, 64, 3)
    shuffled = torch.cat((points[:, :1], points[:, 1:][:, torch.randperm(63)]), 1)
    torch.testing.assert_close(patches(shuffled).tokens, patches(points).tokens, rtol=1e-5, atol=1e-6)


def test_two_stages_leave_a_sixteenth_and_keep_the_levels():
    tokenizer = P3Tokenizer(embed_dims=16, in_channels=7, sample_ratio=1 / 16, group_size=4)
    points, features = torch.rand(2, 64, 3), torch.rand(2, 64, 7)
    tokens = tokenizer({"points": points, "features": features})
    assert tokens.tokens.shape == (2, 5, 16)
    shapes = [tuple(level.shape for level in pair) for pair in tokens.info["levels"]]
    assert shapes == [((2, 64, 3), (2, 7, 64)), ((2, 16, 3), (2, 8, 16))]
    assert torch.equal(tokens.info["levels"][0][1], features.transpose(1, 2))


def test_coordinates_are_the_features_where_there_are_no_others():
    tokenizer = P3Tokenizer(embed_dims=8, group_size=4).eval()
    points = torch.rand(1, 16, 3)
    assert torch.equal(tokenizer(points).tokens, tokenizer({"points": points, "features": points}).tokens)


def test_class_token_and_positions_can_be_left_out():
    tokens = PointPatchTokenizer(16, group_size=4, channels=(4, 4, 4), class_token=False, position=False)(
        torch.rand(2, 16, 3)
    )
    assert tokens.tokens.shape == (2, 4, 16)
    assert "position" not in tokens.info


@pytest.mark.parametrize("class_token", [True, False])
def test_positions_can_be_added_once(class_token):
    tokenizer = PointPatchTokenizer(16, group_size=4, channels=(4, 4, 4), class_token=class_token).eval()
    points = torch.rand(2, 16, 3)
    beside = tokenizer(points)
    tokenizer.add_pos_each_block = False
    tokens = tokenizer(points)
    assert torch.equal(tokens.tokens, beside.tokens + beside.info["position"])
    assert "position" not in tokens.info
    assert tokenizer.invisible_settings["add_pos_each_block"] is False


def test_the_features_themselves_can_be_read():
    tokenizer = P3Tokenizer(8, in_channels=4, group_size=4).eval()
    clouds = {"points": torch.rand(1, 16, 3), "features": torch.rand(1, 16, 4)}
    moved = clouds | {"features": clouds["features"] + 1}
    torch.testing.assert_close(tokenizer(moved).tokens, tokenizer(clouds).tokens, atol=1e-5, rtol=1e-5)
    tokenizer.feature_type = "dp_fj"
    assert (tokenizer(moved).tokens - tokenizer(clouds).tokens).abs().max() > 1e-3
    assert tokenizer.invisible_settings == dict(
        group_size=4, sample_ratio=0.25, add_pos_each_block=True, feature_type="dp_fj"
    )
    with pytest.raises(ValueError, match=r"feature_type='df' is not known. Fix: 'dp_df' or 'dp_fj'"):
        P3Tokenizer(8, feature_type="df")


def test_groups_without_norms_keep_their_biases():
    tokenizer = P3Tokenizer(8, group_size=4, norm=None)
    tokens = tokenizer(torch.rand(1, 16, 3)).tokens
    tokens.square().sum().backward()
    assert all(layer[0].bias.grad.any() for part in tokenizer.convs[0] for layer in part)


def test_every_weight_gets_a_gradient():
    tokenizer = P3Tokenizer(embed_dims=8, sample_ratio=1 / 16, group_size=4, norm="ln")
    tokens = tokenizer(torch.rand(2, 64, 3))
    (tokens.tokens.square().sum() + tokens.info["position"].square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in tokenizer.parameters())


@pytest.mark.parametrize("size", [2, 7])
def test_fewer_points_than_a_group_has_is_a_clear_error(patches, size):
    with pytest.raises(ValueError, match=rf"clouds of {size} points cannot be cut into groups of 8.*SamplePoints"):
        patches(torch.rand(1, size, 3))


def test_a_later_stage_needs_a_group_of_points_too():
    with pytest.raises(ValueError, match="clouds of 5 points cannot be cut into groups of 8"):
        P3Tokenizer(embed_dims=8, sample_ratio=1 / 16, group_size=8)(torch.rand(1, 20, 3))


def test_other_shapes_channels_and_ratios_are_named(patches):
    with pytest.raises(ValueError, match=r"points are \(1, 3, 64\).*needed are \(B, N, 3\)"):
        patches(torch.rand(1, 3, 64))
    with pytest.raises(ValueError, match=r"features have 3 channels, the tokenizer reads 7.*PointFeatures"):
        P3Tokenizer(embed_dims=8, in_channels=7, group_size=4)(torch.rand(1, 16, 3))
    with pytest.raises(ValueError, match=r"sample_ratio=0.5 is no power of 1/4"):
        P3Tokenizer(embed_dims=8, sample_ratio=0.5)
    with pytest.raises(ValueError, match="embed_dims=7 must be divisible by 2"):
        P3Tokenizer(embed_dims=7, sample_ratio=1 / 16)


def test_a_coordinate_that_is_no_number_is_named(patches):
    clouds = torch.rand(2, 64, 3)
    clouds[1, 5, 2] = torch.nan
    with pytest.raises(ValueError, match="point 5 of cloud 1 of the batch is not finite"):
        patches(clouds)


def test_a_feature_that_is_no_number_is_named():
    clouds = {"points": torch.rand(1, 16, 3), "features": torch.rand(1, 16, 4)}
    clouds["features"][0, 3, 1] = torch.inf
    with pytest.raises(ValueError, match="the feature of point 3 of cloud 0 of the batch is not finite"):
        P3Tokenizer(embed_dims=8, in_channels=4, group_size=4)(clouds)
