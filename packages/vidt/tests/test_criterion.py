"""The losses of all levels at once, against the official ones level by level, and where there is little to learn."""

import dataclasses
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_vidt.models import criterion as module
from mm_vidt.models.criterion import ViDTCriterion, matching_errors
from mm_vidt.models.matching import Pairs, Targets
from mm_vidt.models.predictions import ForMatched, Predictions
from mm_vidt.models.token_labels import token_channels
from mmrepro.testing import SplitAdapter

plain_official = SplitAdapter(Path(__file__).resolve().parent, {}).part("plain_official")

CANVAS, SHAPES, CLASSES = (64, 96), ((64, 80), (48, 96)), 7
SIZES = [(2, 3), (4, 6), (8, 12)]
METAS = [
    dict(img_path=path, img_shape=shape, batch_input_shape=CANVAS)
    for path, shape in zip(("a.jpg", "b.jpg"), SHAPES, strict=True)
]
BRANCHES = ("logits", "boxes", "vectors", "ious")


def predictions(labels: str = "raw", levels: int = 3, queries: int = 20, seed: int = 0) -> Predictions:
    random = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    boxes = (drawn(levels, 2, queries, 4) * 0.5).sigmoid().requires_grad_()
    channels = token_channels(CLASSES, labels)
    return Predictions(
        drawn(levels, 2, queries, CLASSES).requires_grad_(),
        boxes,
        drawn(levels, 2, queries, 256).requires_grad_(),
        drawn(levels, 2, queries, 1).requires_grad_(),
        [drawn(2, *size, channels).requires_grad_() for size in SIZES],
    )


def objects(counts: tuple[int, int] = (3, 2), first: int = 1, with_masks: bool = True) -> list[InstanceData]:
    random = torch.Generator().manual_seed(1)
    found = []
    for count, (height, width) in zip(counts, SHAPES, strict=True):
        start = torch.rand(count, 2, generator=random) * torch.tensor([width, height]) * 0.5
        corners = torch.cat([start, start + torch.rand(count, 2, generator=random) * 25 + 8], 1)
        one = InstanceData(bboxes=corners, labels=torch.randint(first, CLASSES, (count,), generator=random))
        if with_masks:
            x, y = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5
            (x0, y0), (x1, y1) = corners[:, :2].T[..., None, None], corners[:, 2:].T[..., None, None]
            discs = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 < 1
            one.masks = BitmapMasks(discs.to(torch.uint8).numpy(), height, width)
        found.append(one)
    return found


def parts(given: Predictions) -> list[Tensor]:
    return [*(one for name in BRANCHES if (one := getattr(given, name)) is not None), *(given.tokens or ())]


def gradients(losses: dict[str, Tensor], given: Predictions) -> list[Tensor]:
    return list(torch.autograd.grad(sum(losses.values()), parts(given)))


def plain(given: Predictions, instances: list[InstanceData], first_channel: int) -> dict[str, Tensor]:
    targets = []
    for one, (height, width) in zip(instances, SHAPES, strict=True):
        masks = torch.zeros(len(one), *CANVAS, dtype=torch.uint8)
        masks[:, :height, :width] = torch.from_numpy(one.masks.masks)
        boxes = bbox_xyxy_to_cxcywh(one.bboxes / torch.tensor([width, height, width, height]))
        targets.append(dict(labels=one.labels, boxes=boxes, corners=one.bboxes, masks=masks))
    predicted = {name: getattr(given, name) for name in (*BRANCHES, "tokens")}
    channels = [[first_channel + label for label in one.labels.tolist()] for one in instances]
    weights = ViDTCriterion(CLASSES).weights | {"loss_token_focal": 2.0, "loss_token_dice": 2.0}
    losses = plain_official.plain_losses(predicted, targets, channels)
    return {name: weights[name.split(".")[-1]] * loss for name, loss in losses.items()}


@pytest.mark.parametrize("labels", ["raw", "contiguous"])
def test_all_levels_at_once_are_the_official_losses_one_by_one(labels):
    given, instances = predictions(labels), objects(first=int(labels == "raw"))
    found = ViDTCriterion(CLASSES, labels)(given, instances, METAS)
    expected = plain(given, instances, int(labels == "contiguous"))
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name} {text}"
        )
    for one, other in zip(gradients(found, given), gradients(expected, given), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("counts", [(3, 2), (0, 0)])
def test_branches_run_for_matched_queries_alone_with_the_same_losses_and_gradients(counts):
    torch.manual_seed(5)
    hidden, vector = torch.randn(3, 2, 20, 8, requires_grad=True), nn.Linear(8, 256)
    ious = nn.ModuleList(nn.Linear(8, 1) for _ in range(3))
    leaves, results, seen = [hidden, *vector.parameters(), *ious.parameters()], [], []
    of_all = dict(vectors=vector(hidden), ious=torch.stack([of(one) for of, one in zip(ious, hidden, strict=True)]))
    vector.register_forward_hook(lambda _module, given, _output: seen.append(len(given[0])))
    for branches in (of_all, dict(vectors=ForMatched([vector] * 3, hidden), ious=ForMatched(ious, hidden))):
        given = dataclasses.replace(predictions(), **branches)
        losses = ViDTCriterion(CLASSES, "raw")(given, objects(counts), METAS)
        results.append((losses, torch.autograd.grad(sum(losses.values()), leaves)))
    assert seen == [sum(counts)] * 3
    torch.testing.assert_close(*results)


def test_targets_of_masks_are_computed_once_a_step():
    with mock.patch.object(module, "mask_crops", wraps=module.mask_crops) as crops:
        ViDTCriterion(CLASSES, "raw")(predictions(), objects(), METAS)
    assert crops.call_count == 1


@pytest.mark.parametrize("counts", [(0, 0), (0, 2)])
def test_images_without_objects_leave_every_gradient_finite(counts):
    given = predictions()
    found = ViDTCriterion(CLASSES, "raw")(given, objects(counts), METAS)
    for one in gradients(found, given):
        assert torch.isfinite(one).all()
    without = {name for name, loss in found.items() if loss == 0}
    boxes_and_vectors = {name for name in found if "cls" not in name and "token" not in name}
    assert without == (boxes_and_vectors if counts == (0, 0) else set())


def test_no_objects_divide_by_one_box():
    given = predictions()
    found = ViDTCriterion(CLASSES, "raw")(given, objects((0, 0)), METAS)
    expected = plain_official.plain_focal(given.logits[-1], torch.zeros_like(given.logits[-1])).sum()
    torch.testing.assert_close(found["loss_cls"], 2 * expected)


def test_detection_alone_needs_no_masks_and_the_rest_says_so():
    instances = objects(with_masks=False)
    full = predictions()
    detection = dataclasses.replace(full, vectors=None, tokens=None)
    found = ViDTCriterion(CLASSES, "raw")(detection, instances, METAS)
    names = {name.split(".")[-1] for name in found}
    assert names == {"loss_cls", "loss_bbox", "loss_iou", "loss_iou_aware"}
    for needy in (dataclasses.replace(full, vectors=None), dataclasses.replace(full, tokens=None)):
        with pytest.raises(
            ValueError, match=r"a\.jpg has boxes and no masks.*with_vector.*token_label.*False.*with_mask"
        ):
            ViDTCriterion(CLASSES, "raw")(needy, instances, METAS)


def test_labels_without_a_class_are_named():
    instances = objects()
    instances[1].labels[0] = CLASSES
    with pytest.raises(ValueError, match=rf"b\.jpg: labels \[{CLASSES}\], but the model has num_classes={CLASSES}"):
        ViDTCriterion(CLASSES, "raw")(predictions(), instances, METAS)
    instances[1].labels[0] = 0  # as a raw id it would be the channel of any object
    with pytest.raises(ValueError, match=r"b\.jpg: labels \[0\].*labels 1 to 6"):
        ViDTCriterion(CLASSES, "raw")(predictions(), instances, METAS)
    without_tokens = dataclasses.replace(predictions(), tokens=None)
    assert ViDTCriterion(CLASSES, "raw")(without_tokens, instances, METAS)


def test_token_logits_have_the_channels_of_their_labels():
    with pytest.raises(ValueError, match=r"token logits have 7 channels; .*labels='contiguous' there are 8"):
        ViDTCriterion(CLASSES)(predictions("raw"), objects(), METAS)


@pytest.mark.parametrize("name", ["logits", "boxes"])
def test_predictions_that_are_not_finite_are_an_error(name):
    given = predictions()
    getattr(given, name).data[1, 0, 3] = torch.nan
    with pytest.raises(ValueError, match=r"image 0 of the batch cannot be matched: .* not finite"):
        ViDTCriterion(CLASSES, "raw")(given, objects(), METAS)


def test_half_precision_is_computed_in_float32():
    half = dataclasses.replace(
        predictions(),
        **{name: getattr(predictions(), name).detach().bfloat16() for name in BRANCHES},
        tokens=[one.detach().bfloat16() for one in predictions().tokens],
    )
    single = dataclasses.replace(
        half, **{name: getattr(half, name).float() for name in BRANCHES}, tokens=[one.float() for one in half.tokens]
    )
    criterion = ViDTCriterion(CLASSES, "raw")
    with torch.autocast("cpu", torch.bfloat16):
        found = criterion(half, objects(), METAS)
    for name, value in criterion(single, objects(), METAS).items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value), name


def test_the_number_of_boxes_is_that_of_all_processes_but_vectors_are_a_local_mean():
    given, instances = predictions(), objects()
    alone = ViDTCriterion(CLASSES, "raw")(given, instances, METAS)
    for norm in (False, True):
        criterion = ViDTCriterion(CLASSES, "raw", no_vector_loss_norm=norm)
        with mock.patch.object(module, "reduce_mean", lambda number: number * 2):
            shared = criterion(given, instances, METAS)
        for name, value in alone.items():
            factor = 0.5 if "vector" not in name else (256 / 2 if norm else 1)  # 5 * 256 values, or 10 boxes
            torch.testing.assert_close(shared[name], value * factor)


def test_boxes_partly_outside_have_finite_losses():
    instances = objects()
    instances[0].bboxes = instances[0].bboxes + torch.tensor([-15.0, -12.0, 60.0, 50.0])
    given = predictions()
    found = ViDTCriterion(CLASSES, "raw")(given, instances, METAS)
    assert all(torch.isfinite(one).all() for one in gradients(found, given))


def test_errors_are_those_counted_by_hand():
    best = torch.tensor([[[0, 1, 2, 2], [2, 2, 2, 2]], [[0, 1, 1, 2], [1, 0, 0, 1]]])  # of 3 channels, the last is 2
    counts, labels = [2, 1], torch.tensor([0, 1, 1])
    images = torch.tensor([[0, 0, 1]] * 2)
    queries, matched = torch.tensor([[2, 3, 0], [0, 1, 1]]), torch.tensor([[0, 1, 2], [0, 1, 2]])
    targets = Targets(labels, torch.zeros(3, 4), torch.zeros(3, 4), torch.ones(2, 4), [(1, 1)] * 2, counts)
    found = matching_errors(nn.functional.one_hot(best).float(), targets, Pairs(images, queries, matched))
    assert {name: value.item() for name, value in found.items()} == {
        "class_error": pytest.approx(100 / 3),  # of the last level's three pairs two have their class
        "d0.cardinality_error": (0 + 1) / 2,  # 2 and 0 queries are no background, there are 2 and 1 objects
        "cardinality_error": (1 + 3) / 2,
    }


def test_errors_are_logged_on_request():
    given = predictions()
    plain, found = (ViDTCriterion(CLASSES, "raw", log_errors=log)(given, objects(), METAS) for log in (False, True))
    levels = {f"{level}cardinality_error" for level in ("", "d0.", "d1.")}
    assert set(found) - set(plain) == {"class_error", *levels}
    empty = ViDTCriterion(CLASSES, "raw", log_errors=True)(given, objects((0, 0)), METAS)
    assert empty["class_error"] == 100


def test_it_saves_nothing():
    assert not ViDTCriterion(CLASSES).state_dict()
