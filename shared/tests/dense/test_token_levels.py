"""The three levels as one sequence: order, views, reference points."""

import torch

from mmrepro.dense.token_levels import join, to_tokens, token_levels

HEIGHT, WIDTH = 4, 6


def levels():
    return token_levels(HEIGHT, WIDTH, torch.zeros(1))


def test_a_sequence_splits_into_maps_and_joins_again():
    tokens = torch.randn(2, 126, 5)
    maps = levels().maps(tokens)
    assert [tuple(one.shape[2:]) for one in maps] == [(8, 12), (4, 6), (2, 3)]
    assert torch.equal(maps[0][1, :, 2, 3], tokens[1, 2 * 12 + 3])
    assert torch.equal(maps[2][1, :, 1, 2], tokens[1, 96 + 24 + 5])
    assert torch.equal(join(maps), tokens)


def test_maps_are_views_with_channels_last():
    tokens = torch.randn(1, 126, 5)
    one = levels().maps(tokens)[1]
    assert one.is_contiguous(memory_format=torch.channels_last)
    assert one.data_ptr() == tokens[:, 96:].data_ptr()
    assert to_tokens(one).data_ptr() == one.data_ptr()


def test_only_the_middle_level_is_added_to():
    tokens, added = torch.randn(1, 126, 5), torch.randn(1, 24, 5)
    difference = levels().add_to_level_16(tokens, added) - tokens
    assert difference[:, :96].abs().max() == difference[:, 120:].abs().max() == 0
    assert torch.allclose(difference[:, 96:120], added, atol=1e-6)


def test_reference_points_are_the_centres_of_tokens():
    points = levels().reference_points[0, :, 0]
    assert torch.allclose(points[2 * 12 + 3], torch.tensor([3.5 / 12, 2.5 / 8]))
    assert torch.allclose(points[96 + 24 + 5], torch.tensor([2.5 / 3, 1.5 / 2]))


def test_tables_are_made_once_for_a_size_and_not_as_inference_tensors():
    with torch.inference_mode():  # where the operator would read them back in every call
        first = token_levels(10, 14, torch.zeros(1))
    assert token_levels(10, 14, torch.zeros(3, 2)) is first
    assert not first.spatial_shapes.is_inference()
    assert token_levels(14, 10, torch.zeros(1)) is not first
    assert token_levels(10, 14, torch.zeros(1, dtype=torch.float64)).reference_points.dtype == torch.float64


def test_fake_tensors_get_tables_of_their_own():
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    with FakeTensorMode():
        assert isinstance(token_levels(12, 22, torch.zeros(1)).spatial_shapes, FakeTensor)
    assert type(token_levels(12, 22, torch.zeros(1)).spatial_shapes) is torch.Tensor


def test_the_middle_level_alone_has_its_own_geometry():
    whole, middle = levels(), levels().at_16
    assert middle.spatial_shapes.tolist() == [[HEIGHT, WIDTH]]
    assert middle.level_start_index.tolist() == [0]
    assert torch.equal(middle.reference_points, whole.reference_points[:, 96:120])
