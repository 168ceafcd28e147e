"""The head: what it predicts, how it starts, its losses and its detections."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample

from mm_monodino_detr.models.decoded_queries import Cameras, DecodedQueries
from mm_monodino_detr.models.depth_predictor import DepthPrediction
from mm_monodino_detr.models.mono3d_head import MonoDETRHead, depth_estimates
from mmrepro.testing import SplitAdapter

_SAMPLES = SplitAdapter(Path(__file__).resolve().parent, {}).part("mono3d_samples")
random_boxes, random_objects = _SAMPLES.random_boxes, _SAMPLES.random_objects

P2 = [[700.0, 0.0, 600.0, 45.0], [0.0, 710.0, 180.0, -0.3], [0.0, 0.0, 1.0, 0.005]]


def small_head(**settings) -> MonoDETRHead:
    head = MonoDETRHead(embed_dims=8, num_layers=2, group_num=3, **settings)
    head.init_weights()
    return head


def states(layers: int = 2, images: int = 2, queries: int = 12) -> DecodedQueries:
    random = torch.Generator().manual_seed(3)
    depth = DepthPrediction(
        logits=torch.randn(images, 81, 4, 6, generator=random, requires_grad=True),
        weighted=(torch.rand(images, 4, 6, generator=random) * 50).requires_grad_(),
        tokens=torch.zeros(images, 24, 8),
    )
    hidden = torch.randn(layers, images, queries, 8, generator=random, requires_grad=True)
    return DecodedQueries(hidden, random_boxes(layers, images, queries, random=random).requires_grad_(), depth)


def samples(counts: tuple[int, ...] = (2, 1), **meta) -> list[DetDataSample]:
    found = []
    for image, objects in enumerate(random_objects(counts)):
        common = dict(cam2img=P2, ori_shape=(375, 1242), img_shape=(384, 1280), img_path=f"{image:06d}.png")
        found.append(DetDataSample(metainfo={**common, **meta}))
        found[-1].gt_instances = objects
    return found


def cameras(images: int = 2) -> Cameras:
    return Cameras(torch.tensor([P2] * images), torch.tensor([[1242.0, 375.0]] * images))


def test_layers_start_as_copies_and_only_the_first_moves_sides():
    head = small_head()
    for branches in (head.dim_branches, head.angle_branches, head.depth_branches, head.cls_branches):
        first, second = (list(branch.state_dict().values()) for branch in branches)
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    first, second = (branch.layers[-1] for branch in head.reg_branches)
    assert torch.equal(first.weight, second.weight)
    assert first.bias[2:].tolist() == [-2.0] * 4
    assert torch.equal(first.bias[:2], second.bias[:2])
    assert not (second.bias == -2).any()
    torch.testing.assert_close(head.cls_branches[1].bias.sigmoid(), torch.full((4,), 0.01))


def test_predictions_are_each_layers_own():
    head, given = small_head(), states()
    with torch.no_grad():
        for branches in (head.cls_branches, head.dim_branches, head.angle_branches, head.depth_branches):
            for parameter in branches[1].parameters():
                parameter.add_(0.1)
    found = head(given, cameras())
    assert found.logits.shape == (2, 2, 12, 4)
    assert found.angles.shape == (2, 2, 12, 24)
    assert found.boxes is given.boxes
    torch.testing.assert_close(found.dims[1], head.dim_branches[1](given.hidden[1]))
    last = head(given._replace(hidden=given.hidden[-1:], boxes=given.boxes[-1:]), cameras())
    for name in ("logits", "dims", "depths", "angles"):
        torch.testing.assert_close(getattr(last, name)[0], getattr(found, name)[1])


@torch.no_grad()
def test_predictions_are_float32_under_autocast():
    head, given = small_head(), states()
    given = given._replace(hidden=given.hidden.bfloat16())
    plain = head(given, cameras())
    with torch.autocast("cpu", torch.bfloat16):
        found = head(given, cameras())
    for name in ("logits", "dims", "depths", "angles"):
        assert getattr(found, name).dtype == torch.float32
        assert torch.equal(getattr(found, name), getattr(plain, name)), name


def test_the_depth_is_the_mean_of_three_estimates():
    """One query in the middle of a map whose corners are at the corners of the picture."""
    boxes = torch.tensor([0.5, 0.5, 0.1, 0.1, 0.04, 0.06]).view(1, 1, 1, 6)
    regressed = torch.tensor([-3.0, 0.7]).view(1, 1, 1, 2)
    weighted = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    found = depth_estimates(regressed, boxes, torch.full((1, 1, 1), 1.5), weighted, cameras(1))
    direct = 1 / (torch.tensor(-3.0).sigmoid() + 1e-6) - 1
    expected = (direct + 1.5 / (0.1 * 375) * 700 + 25) / 3
    torch.testing.assert_close(found, torch.stack([expected, torch.tensor(0.7)]).view(1, 1, 1, 2))


def test_a_flat_box_counts_one_pixel_and_the_place_of_the_map_has_no_gradient():
    boxes = torch.tensor([0.3, 0.4, 0.1, 0.1, 0.0, 0.0]).view(1, 1, 1, 6).requires_grad_()
    weighted = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]], requires_grad=True)
    found = depth_estimates(torch.zeros(1, 1, 1, 2), boxes, torch.full((1, 1, 1), 1.5), weighted, cameras(1))
    assert found[..., 0].item() == pytest.approx((1 + 1.5 * 700 + 21) / 3, rel=1e-5)
    found.sum().backward()
    assert boxes.grad[..., :2].abs().sum() == 0
    assert weighted.grad.abs().sum() > 0


def test_all_that_is_given_and_all_branches_are_trained():
    head, given = small_head(), states()
    sum(head.loss(given, samples()).values()).backward()
    for part in (given.hidden, given.boxes, given.depth.logits, given.depth.weighted):
        assert part.grad.abs().sum() > 0
    without = {name for name, parameter in head.named_parameters() if parameter.grad is None}
    assert without == {name for name, _ in head.named_parameters() if name.startswith("reg_branches")}


@torch.no_grad()
def test_detections_are_those_of_the_last_layer():
    head, given = small_head(test_cfg=dict(max_per_img=5, score_thr=0.0)), states()
    found = head.predict(given, samples())
    assert [len(one) for one in found] == [5, 5]
    alone = head.predict(given._replace(hidden=given.hidden[-1:], boxes=given.boxes[-1:]), samples())
    assert all(torch.equal(one.bboxes_3d, other.bboxes_3d) for one, other in zip(found, alone, strict=True))
    known = small_head(known_classes=0, test_cfg=dict(score_thr=0.0)).predict(given, samples())
    assert [len(one) for one in known] == [0, 0]


@torch.no_grad()
def test_the_exact_way_back_reads_the_affine():
    settings = dict(max_per_img=5, score_thr=0.0)
    plain, exact = small_head(test_cfg=settings), small_head(test_cfg={**settings, "exact_affine_decode": True})
    exact.load_state_dict(plain.state_dict())
    stretch = [[1280 / 1242, 0.0, 0.0], [0.0, 384 / 375, 0.0]]  # the one that is assumed without
    for one, other in zip(
        exact.predict(states(), samples(affine=stretch)), plain.predict(states(), samples()), strict=True
    ):
        torch.testing.assert_close(one.bboxes_3d, other.bboxes_3d, rtol=1e-6, atol=1e-6)
    with pytest.raises(KeyError, match=r"000000\.png has no affine in its metainfo, which exact_affine_decode needs"):
        exact.predict(states(), samples())


def test_unknown_settings_of_testing_are_refused():
    with pytest.raises(ValueError, match=r"test_cfg has no score_threshold\. Fix: settings are max_per_img, "):
        small_head(test_cfg=dict(score_threshold=0.3))


def test_the_official_depth_bins_are_an_option_of_the_criterion():
    for official, bins in ((True, (80, 1e-3, 60.0)), (False, (160, 1e-3, 120.0))):
        criterion = small_head(
            num_depth_bins=160, depth_max=120.0, criterion=dict(official_depth_bins=official)
        ).criterion
        assert (criterion.num_depth_bins, criterion.depth_min, criterion.depth_max) == bins
