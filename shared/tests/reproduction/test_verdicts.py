from __future__ import annotations

import pytest

from mmrepro.reproduction.ledger import EVERY_ROW, Entry
from mmrepro.reproduction.rows import Metric, Row
from mmrepro.reproduction.verdicts import format_number, judge, within_rounding

MSE = Metric("MSE", 0.386, 0.008, "mse")
AP = Metric("AP", 51.7, 0.3, "coco/bbox_mAP", 100, "higher")


def row(*metrics, **fields):
    return Row("fake", "Fake", "a", "a.py", "task", "data", metrics, "table 1", **fields)


def trained(*values, key="mse", config="c", **more):
    return [Entry("a", "train", {key: value, **more}, config, seed) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("metric", "values", "text"),
    [
        (MSE, [0.386], "reproduced"),
        (MSE, [0.394], "reproduced"),  # exactly at the tolerance, although 0.394 - 0.386 > 0.008 in binary
        (MSE, [0.378], "reproduced"),
        (MSE, [0.395], "off by 0.009 (MSE)"),
        (MSE, [0.376], "better by 0.010 (MSE)"),
        (MSE, [0.380, 0.400], "reproduced"),  # the mean counts
        (MSE, [0.390, 0.410], "off by 0.014 (MSE)"),
        (AP, [0.514], "reproduced"),
        (AP, [0.51], "off by 0.7 (AP)"),
        (AP, [0.53], "better by 1.3 (AP)"),
    ],
)
def test_a_verdict_compares_the_mean_with_the_tolerance(metric, values, text):
    assert judge(row(metric), "train", trained(*values, key=metric.key)).text == text


def test_one_metric_off_is_a_row_off():
    other = Metric("MAE", 0.4, 0.1, "mae")
    verdict = judge(row(MSE, other), "train", trained(0.3, mae=0.7))
    assert verdict.text == "off by 0.3 (MAE)"
    assert not verdict.reached


def test_better_than_reported_is_named_and_does_not_count_as_reproduced():
    verdict = judge(row(MSE), "train", trained(0.3))
    assert verdict.text == "better by 0.086 (MSE)"
    assert not verdict.reached


def test_runs_on_an_unclean_tree_are_named():
    clean, unclean, wheel = ({"commit": "a", "clean": True}, {"commit": "a", "clean": False}, {"clean": False})
    runs = [Entry("a", "train", {"mse": 0.38}, "c", seed, **clean) for seed in (1, 2)]
    assert not judge(row(MSE), "train", runs).measured[0].unclean
    assert judge(row(MSE), "train", [*runs, Entry("a", "train", {"mse": 0.38}, "c", 3, **unclean)]).measured[0].unclean
    assert not judge(row(MSE), "train", [Entry("a", "train", {"mse": 0.38}, "c", 1, **wheel)]).measured[0].unclean
    size_run = Entry("a", "complexity", {"parameters": 15}, "c", **unclean)
    assert judge(row(MSE), "complexity", [size_run]).detail.startswith("15 parameters, unclean tree")
    counts = {"passed": 1, "failed": 0, "not_served": 0, "no_data": 0, "worst": 0.25}
    parity = [Entry(EVERY_ROW, "parity", counts, "", **unclean)]
    assert (
        judge(row(MSE), "parity", parity).detail == "1 cases passed, the worst at 0.25 of its tolerance, unclean tree"
    )


def test_mean_spread_and_baseline():
    measured = judge(row(AP), "train", trained(0.51, 0.53, key=AP.key, **{f"baseline_{AP.key}": 0.1})).measured[0]
    assert measured.mean == pytest.approx(52)
    assert measured.spread == pytest.approx(2**0.5)
    assert measured.baseline == pytest.approx(10)
    assert judge(row(MSE), "train", trained(0.386)).measured[0].spread is None


def test_only_runs_of_the_newest_config_count_and_the_newest_of_each_seed():
    old = trained(9.0, 9.0, config="old")
    new = [Entry("a", "train", {"mse": value}, "new", seed) for seed, value in ((1, 5.0), (2, 0.38), (1, 0.39))]
    measured = judge(row(MSE), "train", old + new).measured[0]
    assert measured.values == (0.39, 0.38)
    assert measured.seeds == (1, 2)


def test_other_rows_and_tiers_do_not_count():
    entries = [Entry("b", "train", {"mse": 1}, "c", 1), Entry("a", "evaluate", {"mse": 1}, "c")]
    verdict = judge(row(MSE), "train", entries)
    assert (verdict.text, verdict.measured, verdict.reached) == ("", (), False)


def test_a_result_without_the_named_key_is_an_error():
    with pytest.raises(KeyError, match="no 'mse' for MSE, only rmse"):
        judge(row(MSE), "train", trained(0.4, key="rmse"))


def size(metrics, **fields):
    return judge(row(MSE, **fields), "complexity", [Entry("a", "complexity", metrics, "c")])


def test_parameters_must_be_equal_to_the_last_one():
    assert size({"parameters": 15, "official_parameters": 15}, parameters=15).text == "reproduced"
    assert (
        size({"parameters": 16, "official_parameters": 15}).text == "off by +1 parameters against the official key list"
    )
    assert size({"parameters": 15}, parameters=16).text == "off by -1 parameters against the metafile"
    assert size({"parameters": 15}).text == ""


def test_operations_may_differ_by_convention():
    assert size({"parameters": 15, "gmacs": 10.2}, parameters=15, gmacs=10.0).text == "reproduced"
    assert size({"parameters": 15, "gmacs": 11.0}, parameters=15, gmacs=10.0).text == "differs (convention)"


@pytest.mark.parametrize(
    ("measured", "reported", "within"),
    [(1.4, 1.0, False), (1.04, 1.0, True), (0.14, 0.1, True), (103, 100.5, True), (104, 100.5, False), (1.4, 1, True)],
)
def test_operations_count_as_equal_within_rounding_or_three_percent(measured, reported, within):
    assert within_rounding(measured, reported) is within


def cases(**counts):
    metrics = {"passed": 0, "failed": 0, "not_served": 0, "no_data": 0, "worst": 0.25, **counts}
    return judge(row(MSE), "parity", [Entry(EVERY_ROW, "parity", metrics, "")])


def test_parity_holds_when_no_case_fails():
    verdict = cases(passed=40, not_served=3)
    assert verdict.reached
    assert verdict.detail == "40 cases passed, the worst at 0.25 of its tolerance, 3 not served"
    assert cases(passed=39, failed=1).text == "off in 1 cases"
    assert not cases(not_served=3).reached, "cases that are not served are no passes"


def test_parity_does_not_hold_while_data_is_missing():
    verdict = cases(passed=1, no_data=4)
    assert verdict.text == "part: 1 of 5 cases, 4 without their data"
    assert not verdict.reached
    assert cases(passed=1, no_data=4, failed=1).text == "off in 1 cases"


def test_numbers_keep_the_digits_of_the_reported_one():
    assert format_number(0.3, MSE) == "0.300"
    assert format_number(52, AP) == "52.0"
    assert format_number(0.5, Metric("x", 2.0, 1e-05, "x")) == "0.50000"
