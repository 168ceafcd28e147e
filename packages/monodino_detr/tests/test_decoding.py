"""From predictions to boxes in the camera's frame and KITTI's text; the official results are a parity case."""

from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from mm_monodino_detr.evaluation.kitti_files import result_text
from mm_monodino_detr.models.decoding import Chosen, best_pairs, decode
from mm_monodino_detr.models.heading_bins import encode_heading
from mmrepro.testing import SplitAdapter

_SAMPLES = SplitAdapter(Path(__file__).resolve().parent, {}).part("mono3d_samples")
random_predictions = _SAMPLES.random_predictions

P2 = torch.tensor([[[700.0, 0.0, 600.0, 45.0], [0.0, 710.0, 180.0, -0.3], [0.0, 0.0, 1.0, 0.005]]], dtype=torch.float64)
SIZES = torch.tensor([[1242, 375]])
ALPHA = 0.4


def one_car(centre=(0.6, 0.5), label: int = 1, score: float = 0.5, alpha: float = ALPHA, depth: float = 20.0) -> Chosen:
    """Return a single candidate whose 2D box is centred on the projected 3D centre."""
    bins, residuals = encode_heading(alpha)
    angles = torch.zeros(1, 1, 24, dtype=torch.float64)
    angles[..., int(bins)], angles[..., 12 + int(bins)] = 1, float(residuals)
    cx, cy = centre
    return Chosen(
        labels=torch.tensor([[label]]),
        scores=torch.tensor([[score]], dtype=torch.float64),
        centres=torch.tensor([[[cx, cy]]], dtype=torch.float64),
        corners=torch.tensor([[[cx - 0.1, cy - 0.05, cx + 0.1, cy + 0.05]]], dtype=torch.float64),
        depths=torch.tensor([[depth]], dtype=torch.float64),
        certainties=torch.tensor([[3.0]], dtype=torch.float64),
        angles=angles,
        dims=torch.tensor([[[1.5, 1.6, 4.0]]], dtype=torch.float64),
    )


def test_candidates_are_the_best_pairs_and_a_query_may_have_two_classes():
    predictions = random_predictions(images=2)
    with torch.no_grad():
        predictions.logits[-1, 1, 7] = torch.tensor([5.0, -9.0, 4.0, -9.0])
    chosen = best_pairs(predictions, 10)
    assert chosen.labels[1, :2].tolist() == [0, 2]
    torch.testing.assert_close(chosen.scores[1, :2], torch.tensor([5.0, 4.0]).sigmoid())
    assert chosen.scores.diff().max() <= 0
    torch.testing.assert_close(chosen.dims[1, 0], predictions.dims[-1, 1, 7])
    cx, cy, left, right, top, bottom = predictions.boxes[-1, 1, 7].unbind()
    torch.testing.assert_close(chosen.corners[1, 1], torch.stack([cx - left, cy - top, cx + right, cy + bottom]))
    torch.testing.assert_close(chosen.certainties[1, 0], (-predictions.depths[-1, 1, 7, 1]).exp())


def test_there_may_be_fewer_pairs_than_asked_for():
    assert best_pairs(random_predictions(), 1000).scores.shape == (3, 48)


def test_a_decoded_centre_projects_back_where_it_was():
    (found,) = decode(one_car(), P2, SIZES)
    height, width, length, *bottom, rotation = found.bboxes_3d[0].tolist()
    assert (height, width, length) == (1.5, 1.6, 4.0)
    assert bottom[2] == 20
    # the camera's own shift counts as one of the whole frame, so that rows are divided by z
    point = torch.tensor([bottom[0], bottom[1] - height / 2, bottom[2], 1], dtype=torch.float64)
    torch.testing.assert_close((P2[0] @ point)[:2] / 20, torch.tensor([0.6 * 1242, 0.5 * 375], dtype=torch.float64))
    expected = torch.tensor([[0.5 * 1242, 0.45 * 375, 0.7 * 1242, 0.55 * 375]], dtype=torch.float64)
    torch.testing.assert_close(found.bboxes, expected)
    ray = torch.atan2(torch.tensor(0.6 * 1242 - 600), torch.tensor(700.0)).item()
    assert rotation == pytest.approx(ALPHA + ray, abs=1e-6)
    assert found.alphas.item() == pytest.approx(ALPHA, abs=1e-9)
    assert found.scores.tolist() == [1.5]  # it may exceed 1


def test_the_ray_is_that_to_the_centre_of_the_2d_box():
    car = one_car()
    car = car._replace(corners=car.corners + torch.tensor([0.0, 0.0, 0.1, 0.0]))
    (found,) = decode(car, P2, SIZES)
    ray = torch.atan2(torch.tensor(0.65 * 1242 - 600), torch.tensor(700.0)).item()
    assert found.bboxes_3d[0, 6].item() == pytest.approx(ALPHA + ray, abs=1e-6)


@pytest.mark.parametrize(("alpha", "side"), [(3.0, 0.95), (-3.0, 0.05)])
def test_rotations_are_brought_into_a_turn(alpha, side):
    (found,) = decode(one_car((side, 0.5), alpha=alpha), P2, SIZES)
    ray = torch.atan2(torch.tensor(side * 1242 - 600), torch.tensor(700.0)).item()
    turn = 2 * torch.pi if alpha > 0 else -2 * torch.pi
    assert abs(alpha + ray) > torch.pi
    assert found.bboxes_3d[0, 6].item() == pytest.approx(alpha + ray - turn, abs=1e-6)


@pytest.mark.parametrize(("score", "count"), [(0.2, 1), (0.19999, 0)])
def test_the_threshold_is_the_classes_own_and_inclusive(score, count):
    """The certainty of 3 would lift either over it."""
    (found,) = decode(one_car(score=score), P2, SIZES)
    assert len(found) == count
    assert found.bboxes_3d.shape == (count, 7)


@pytest.mark.parametrize(("known", "count"), [(3, 0), (None, 1)])
def test_a_class_without_a_name_is_dropped_where_that_is_said(known, count):
    (found,) = decode(one_car(label=3), P2, SIZES, known_classes=known)
    assert len(found) == count


def test_the_exact_way_back_undoes_an_affine():
    """The network's input is scaled by the width, and rows are cropped about the middle."""
    scale = 1280 / 1242
    affine = torch.tensor([[[scale, 0.0, 0.0], [0.0, scale, 192 - scale * 187.5]]], dtype=torch.float64)
    pixels = torch.tensor([700.0, 300.0], dtype=torch.float64)
    centre = (affine[0, :, :2] @ pixels + affine[0, :, 2]) / torch.tensor([1280, 384])
    car = one_car(tuple(centre.tolist()))
    (exact,) = decode(car, P2, SIZES, affines=affine, input_sizes=torch.tensor([[1280, 384]]))
    (stretched,) = decode(car, P2, SIZES)
    middles = [(one.bboxes[0, :2] + one.bboxes[0, 2:]) / 2 for one in (exact, stretched)]
    torch.testing.assert_close(middles[0], pixels)
    assert middles[1][0].item() == pytest.approx(700)
    assert 0.1 < abs(middles[1][1].item() - 300) < 1.3


def test_text_is_kittis_with_two_decimals():
    (found,) = decode(one_car(), P2, SIZES)
    (line,) = result_text(found, ["Pedestrian", "Car", "Cyclist"]).splitlines()
    name, truncated, occluded, *numbers = line.split(" ")
    assert (name, truncated, occluded) == ("Car", "0.0", "0")
    assert numbers[:5] == ["0.40", "621.00", "168.75", "869.40", "206.25"]
    assert numbers[5:8] == ["1.50", "1.60", "4.00"]
    assert numbers[10] == "20.00"
    assert numbers[12] == "1.50"
    assert len(numbers) == 13


def test_detections_are_float64_on_the_cpu():
    (found,) = decode(Chosen(*(part.float() if part.is_floating_point() else part for part in one_car())), P2, SIZES)
    assert isinstance(found, InstanceData)
    assert {found[name].dtype for name in ("scores", "bboxes", "bboxes_3d", "alphas")} == {torch.float64}


@pytest.mark.parametrize("part", ["scores", "depths"])
def test_what_is_no_number_is_refused(part):
    """A threshold would drop such a score without a word."""
    car = one_car()
    with pytest.raises(ValueError, match=f"image 0 of the batch: NaN among the predicted {part}. Fix"):
        decode(car._replace(**{part: getattr(car, part) * torch.nan}), P2, SIZES)
