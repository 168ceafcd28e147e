"""The protocol where the stored cases say little: thresholds, perfect results, distances, own rules, bad input."""

import numpy as np
import pytest

from mm_monodino_detr.evaluation.ap_table import averages, official_text, short_text
from mm_monodino_detr.evaluation.kitti_ap import (
    DISTANCES,
    LOOSE,
    ClassRules,
    KittiEvaluation,
    recall_thresholds,
)
from mm_monodino_detr.evaluation.kitti_files import KittiObjects, parse_objects
from mm_monodino_detr.evaluation.pr_curves import draw_curves


def line(name="Car", x=0.0, z=20.0, left=300.0, score=None, alpha=0.3) -> str:
    end = "" if score is None else f" {score}"
    return f"{name} 0.00 0 {alpha} {left} 150 {left + 100} 210 1.5 1.6 4 {x} 1.6 {z} 0{end}\n"


def evaluated(labels: list[str], results: list[str], **kwargs) -> KittiEvaluation:
    return KittiEvaluation(
        [parse_objects(text, "labels", classes=None) for text in labels],
        [parse_objects(text, "results", True, None) for text in results],
        **kwargs,
    )


def test_thresholds_are_the_scores_at_steps_of_the_recall():
    scores = np.linspace(0.99, 0.01, 80)
    found = recall_thresholds(np.random.default_rng(0).permutation(scores), 80)
    assert len(found) == 41
    np.testing.assert_allclose(found, np.append(scores[0], scores[1::2]))
    assert recall_thresholds(np.array([0.2, 0.9]), 1000).tolist() == [0.9, 0.2]
    assert recall_thresholds(np.empty(0), 0).tolist() == []


def test_perfect_results_score_100():
    labels = ["".join(line(x=6.0 * k, left=110.0 * k) for k in range(1, 5))] * 40
    results = ["".join(line(x=6.0 * k, left=110.0 * k, score=0.9 - 0.01 * k) for k in range(1, 5))] * 40
    curves = evaluated(labels, results).curves("Car")
    for measure in ("2D", "BEV", "3D", "AOS"):
        np.testing.assert_allclose(curves.average(measure), 100)
        np.testing.assert_allclose(curves.average(measure, 11, LOOSE), 100)
    assert curves.ground_truth.tolist() == [160] * 3


@pytest.mark.parametrize(("count", "average"), [(1, 0), (8, 17.5), (40, 97.5), (41, 100)])
def test_few_objects_cannot_reach_100_and_the_table_says_so(count, average):
    curves = evaluated([line()] * count, [line(score=0.9)] * count).curves("Car")
    np.testing.assert_allclose(curves.average("3D"), average)
    assert (f"Car moderate {count}" in short_text([curves])) == (average < 100)


def test_opposite_headings_cost_orientation_alone():
    curves = evaluated([line()], [line(score=0.9, alpha=0.3 + np.pi)]).curves("Car")
    assert curves.average("2D", 11)[0] == pytest.approx(100 / 11)  # one object is one threshold
    assert curves.average("AOS", 11)[0] == pytest.approx(0)


def test_no_orientations_without_angles():
    curves = evaluated([line()] * 2, ["", line(score=0.9, alpha=-10)]).curves("Car")
    assert curves.similarity is None
    assert "aos" not in official_text(curves)
    assert not any("AOS" in key for key in averages(curves))


def test_frames_do_not_see_one_another():
    curves = evaluated([line(), ""], ["", line(score=0.9)]).curves("Car")
    assert curves.average("3D").tolist() == [0, 0, 0]


@pytest.mark.parametrize(("labels", "results"), [([], []), ([""], [""]), ([""], [line(score=1)]), ([line()], [""])])
def test_nothing_to_find_or_nothing_found_is_zero(labels, results):
    curves = evaluated(labels, results).curves("Car")
    assert all(value == 0 for value in averages(curves).values())
    assert "nan" not in official_text(curves)


def test_dont_care_alone():
    text = "DontCare -1 -1 -10 290 140 420 220 -1 -1 -1 -1000 -1000 -1000 -10\n"
    assert evaluated([text], [line(score=0.9)]).curves("Car").average("2D").tolist() == [0, 0, 0]


def test_bands_of_distances_take_their_own():
    places = (10.0, 40.0, 60.0)
    labels = "".join(line(z=z, left=150.0 * row) for row, z in enumerate(places))
    found = "".join(line(z=z, left=150.0 * row, score=0.9) for row, z in enumerate(places[:2]))
    curves = evaluated([labels], [found]).curves("Car", DISTANCES)
    assert curves.levels == ("30m", "50m", "70m")
    assert curves.ground_truth.tolist() == [1, 1, 1]
    assert (curves.average("3D", 11) > 0).tolist() == [True, True, False]


def test_boxes_of_negative_size_match_nothing():
    text = line(score=0.9).replace(" 1.5 1.6 4 ", " -1.5 -1.6 -4 ")
    curves = evaluated([line()], [text]).curves("Car")
    assert curves.average("2D", 11)[0] > 0
    assert curves.average("3D", 11)[0] == curves.average("BEV", 11)[0] == 0


def test_own_classes_have_the_rules_that_are_given():
    labels, results = [line("Kart")], [line("kart", x=1.0, score=0.9)]  # BEV overlap 3 / 5
    assert evaluated(labels, results).curves("Kart").average("BEV", 11)[0] > 0
    strict = {"Kart": ClassRules(None, ((0.7,) * 3, (0.7, 0.5, 0.5)))}
    curves = evaluated(labels, results, rules=strict).curves("Kart")
    assert curves.average("BEV", 11)[0] == 0
    assert averages(curves)["Kart_APBEV_R11_easy_loose"] > 0


@pytest.mark.parametrize("overlaps", [(0.7, 0.7, 0.7), ((0.7, 0.5), (0.7, 0.5))])
def test_rules_are_two_sets_of_three(overlaps):
    with pytest.raises(ValueError, match=r"are not two sets of three\. Fix: like"):
        ClassRules(overlaps=overlaps)


def test_frames_and_scores_must_be_there():
    with pytest.raises(ValueError, match="labels of 1 frames and results of 0"):
        KittiEvaluation([KittiObjects.none()], [])
    with pytest.raises(ValueError, match="results of frame 0 have no scores"):
        KittiEvaluation([KittiObjects.none()], [KittiObjects.none()])


def test_the_short_table_and_the_drawing(tmp_path):
    evaluation = evaluated([line()], [line(score=0.9)])
    every = [evaluation.curves(name) for name in ("Car", "Cyclist")]
    _, car, _, few = short_text(every).splitlines()
    assert car.startswith("Car      1/1/1    0.00/0.00/0.00")
    assert few.endswith("with n at most 100 (n - 1) / 40 at R40: Car easy 1, Car moderate 1, Car hard 1")
    assert draw_curves(every, tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no curves to draw"):
        draw_curves([], tmp_path / "none.png")
