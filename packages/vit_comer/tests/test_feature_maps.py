"""What is seen of a backbone: the maps are its own, and the points are those that its attention reads."""

import numpy as np
import pytest
import torch

from mm_vit_comer.feature_maps import plain_maps, principal_colours, trace_features
from mm_vit_comer.models.vit_baseline import ViTBaseline
from mm_vit_comer.models.vit_comer import ViTCoMer

SMALL = dict(
    arch=dict(embed_dim=24, depth=4, num_heads=2),
    variant="seg",
    pretrain_size=64,
    conv_inplane=8,
    deform_num_heads=2,
    mrfp_ratio=1.0,
)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    model = ViTCoMer(**SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(1)
    return torch.randn(1, 3, 40, 96)  # filled up to 64 rows


@pytest.fixture(scope="module")
def trace(backbone, image):
    return trace_features(backbone, image)


def test_maps_are_the_backbones_and_hooks_are_gone(backbone, image, trace):
    with torch.no_grad():
        maps = backbone(image)
    for one, kept in zip(maps, trace.with_interaction, strict=True):
        torch.testing.assert_close(one[0], kept)
    assert [tuple(one.shape) for one in trace.plain] == [tuple(one.shape) for one in trace.with_interaction]
    assert not any(module._forward_hooks for module in backbone.modules())


def test_plain_maps_are_the_trunks_without_any_interaction(backbone, image):
    with torch.no_grad():
        tokens, rows, columns = backbone.embed(torch.nn.functional.pad(image, (0, 0, 0, 24)))
        for number, block in enumerate(backbone.blocks):
            tokens = block(tokens, rows, columns)
            if number == 2:  # the third interaction ends here, at stride 16
                expected = tokens[0].T.unflatten(1, (rows, columns))
    torch.testing.assert_close(plain_maps(backbone, image)[2], expected[:, :3, :6])


@pytest.mark.parametrize("out_x", [False, True])
def test_chosen_maps_have_their_strides(image, out_x):
    torch.manual_seed(0)
    backbone = ViTCoMer(**SMALL, out_indices=(1, 2, 3), out_x=out_x).eval()
    found = trace_features(backbone, image)
    with torch.no_grad():
        maps = backbone(image)[1:] if out_x else backbone(image)
    assert found.strides == (8, 16, 32)
    for one, kept in zip(maps, found.with_interaction, strict=True):
        torch.testing.assert_close(one[0], kept)
    assert [tuple(one.shape[1:]) for one in found.plain] == [(5, 12), (3, 6), (2, 3)]


def test_plain_maps_of_two_interactions_are_those_of_both_halves(image):
    torch.manual_seed(0)
    spans = dict(interaction_indexes=[[0, 1], [2, 3]], add_vit_feature="last")
    halves, quarters = ViTCoMer(**SMALL, **spans).eval(), ViTCoMer(**SMALL).eval()
    weights = {key: value for key, value in halves.state_dict().items() if not key.startswith("interactions.")}
    quarters.load_state_dict(weights, strict=False)
    first, second = plain_maps(halves, image), plain_maps(quarters, image)
    assert len(first) == 4
    for k in (1, 3):  # the second and the last quarter end with a half
        torch.testing.assert_close(first[k], second[k])


def test_tokens_change_from_one_interaction_to_the_next(trace):
    assert len(trace.before) == len(trace.after) == 4
    for number in range(3):
        for one, other in zip(trace.after[number], trace.before[number + 1], strict=True):
            torch.testing.assert_close(one, other)
        assert not torch.equal(trace.before[number][0], trace.after[number][0])
    assert [tuple(one.shape[1:]) for one in trace.before[0]] == [(5, 12), (3, 6), (2, 3)]


@pytest.mark.parametrize("stage", ["to_v", "to_c"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_samples_are_what_the_operator_was_given(backbone, image, trace, stage, level, monkeypatch):
    given = []

    def record(value, shapes, start, locations, weights):
        given.append((locations[0], weights[0]))
        return value.new_zeros(*locations.shape[:2], value.shape[2] * value.shape[3])

    monkeypatch.setattr("mmrepro.dense.level_attention.ms_deform_attn", record)
    alone = trace_features(backbone, image)  # zeros come back, so later queries differ: trace again
    found = alone.samples(50.0, 30.0, level=level, interaction=0, stage=stage)
    locations, weights = given[0 if stage == "to_v" else 1]
    stride = (8, 16, 32)[level]
    token = (0, 96, 120)[level] + (30 // stride) * (96 // stride) + 50 // stride
    pixels = locations[token].transpose(0, 1).flatten(1, 2) * torch.tensor([96.0, 64.0])  # (L, h*P, 2)
    np.testing.assert_allclose(found.points, pixels, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.weights, weights[token].transpose(0, 1).flatten(1), rtol=1e-4, atol=1e-6)
    assert found.weights.sum() == pytest.approx(2, rel=1e-5)  # heads
    assert np.abs(np.subtract(found.place, (50, 30))).max() <= stride / 2


def test_places_that_are_not_there_are_named(trace):
    with pytest.raises(IndexError, match=r"\(96, 10\) is not in the image of 96 x 40 pixels"):
        trace.samples(96, 10)
    with pytest.raises(IndexError, match="level=3"):
        trace.samples(5, 5, level=3)
    with pytest.raises(IndexError, match="interaction 4 has no attention 'to_c': there are 0 to_v, 0 to_c, 1 to_v"):
        trace.samples(5, 5, interaction=4)


def test_a_backbone_without_attention_has_no_points(image):
    torch.manual_seed(0)
    without = ViTCoMer(**SMALL, use_cti_to_v=False, cnn_feature_interaction=False).eval()
    trace = trace_features(without, image)
    assert trace.queries == {}
    with pytest.raises(TypeError, match="ViTBaseline has no interactions"):
        trace_features(ViTBaseline(embed_dim=32, depth=4, num_heads=2, out_indices=(0, 1, 2, 3)), image)


def test_colours_are_alike_where_features_are():
    torch.manual_seed(0)
    kinds = torch.randint(0, 4, (9, 11))
    colours = principal_colours(torch.randn(4, 16)[kinds].permute(2, 0, 1))
    assert colours.shape == (9, 11, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    means = np.stack([colours[kinds == kind].mean(0) for kind in range(4)])
    for kind in range(4):
        assert np.ptp(colours[kinds == kind], axis=0).max() < 1e-5
    away = np.abs(means[:, None] - means).sum(-1)
    assert away[~np.eye(4, dtype=bool)].min() > 0.1
