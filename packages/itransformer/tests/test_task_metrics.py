"""The metrics of the tasks beside forecasting: what they count, whatever the batches and the number of processes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mm_itransformer.evaluation import AnomalyMetric, ClassAccuracyMetric, ImputationMetric
from mm_itransformer.evaluation.anomaly_metric import REFERENCE, REPEATED, anomaly_threshold, point_adjusted
from mm_itransformer.evaluation.imputation_metric import interpolate
from mmrepro.forecasting import window_metric

WINDOWS, STEPS, VARIATES, CLASSES = 37, 6, 3, 4


def arrays() -> dict[str, dict[str, torch.Tensor]]:
    """Return what each metric reads, one entry per window."""
    generator = torch.Generator().manual_seed(0)
    series = [torch.randn(WINDOWS, STEPS, VARIATES, generator=generator) for _ in range(2)]
    observed = torch.rand(WINDOWS, STEPS, VARIATES, generator=generator) > 0.4
    scores = torch.rand(WINDOWS, STEPS, generator=generator)
    labels = (torch.rand(WINDOWS, STEPS, generator=generator) > 0.8).long()
    labels[:10], labels[20, :2] = REFERENCE, REPEATED
    return {
        "imputation": {"imputed": series[0], "target": series[1], "mask": observed},
        "anomaly": {"score": scores, "labels": labels},
        "accuracy": {
            "logits": torch.randn(WINDOWS, CLASSES, generator=generator),
            "label": torch.randint(CLASSES, (WINDOWS,), generator=generator),
        },
    }


METRICS = {
    "imputation": ImputationMetric,
    "anomaly": lambda: AnomalyMetric(anomaly_ratio=15),
    "accuracy": ClassAccuracyMetric,
}
every_metric = pytest.mark.parametrize("name", METRICS)


def evaluate(name: str, batch: int, indices=range(WINDOWS)) -> dict:
    metric, data = METRICS[name](), arrays()[name]
    samples = [{key: values[i] for key, values in data.items()} for i in indices]
    for first in range(0, len(samples), batch):
        metric.process(None, samples[first : first + batch])
    return metric.evaluate(WINDOWS)


@every_metric
@pytest.mark.parametrize("batch", [1, 5, 36, 37])
def test_batch_size_changes_nothing(name, batch):
    assert evaluate(name, batch) == evaluate(name, 16)


@every_metric
def test_repeated_windows_are_refused_with_the_fix(name):
    with pytest.raises(ValueError, match="round_up=False"):
        evaluate(name, 8, [*range(WINDOWS), 0])


@every_metric
def test_nothing_to_count_is_an_error(name):
    with pytest.raises(ValueError, match="no window was evaluated"):
        evaluate(name, 8, [])


@every_metric
def test_a_second_evaluation_starts_anew(name):
    metric, data = METRICS[name](), arrays()[name]
    results = []
    for _ in range(2):
        metric.process(None, [{key: values[i] for key, values in data.items()} for i in range(12)])
        results.append(metric.evaluate(WINDOWS))
    assert results[0] == results[1]


def test_imputation_errors_are_means_over_missing_entries():
    data = {key: values.double().numpy() for key, values in arrays()["imputation"].items()}
    missing = data["mask"] == 0
    error = (data["imputed"] - data["target"])[missing]
    lines = interpolate(torch.from_numpy(data["target"]), torch.from_numpy(~missing)).numpy()
    trivial = (lines - data["target"])[missing]
    expected = {
        "mse": (error**2).mean(),
        "mae": np.abs(error).mean(),
        "rmse": (error**2).mean() ** 0.5,
        "baseline_mse": (trivial**2).mean(),
        "baseline_mae": np.abs(trivial).mean(),
        "missing": missing.sum(),
        "windows": WINDOWS,
    }
    assert evaluate("imputation", 8) == pytest.approx(expected, rel=1e-12)


def test_a_truth_that_nobody_hid_is_an_error():
    metric, zeros = ImputationMetric(), torch.zeros(STEPS, VARIATES)
    metric.process(None, [{"imputed": zeros, "target": zeros, "mask": zeros == 0}])
    with pytest.raises(ValueError, match="no value is missing"):
        metric.evaluate(1)


def test_straight_lines_between_observed_values():
    data = arrays()["imputation"]
    series, observed = data["target"].double(), data["mask"].clone()
    observed[0, :, 1] = False
    filled = interpolate(series, observed)
    assert not filled[0, :, 1].any()
    steps = np.arange(STEPS)
    for w in range(WINDOWS):
        for v in range(VARIATES):
            known = np.flatnonzero(observed[w, :, v])
            if len(known):
                expected = np.interp(steps, known, series[w, known, v])
                assert filled[w, :, v].numpy() == pytest.approx(expected, abs=1e-12)


def test_accuracy_beside_the_most_frequent_class():
    data = arrays()["accuracy"]
    entropy = torch.nn.functional.cross_entropy(data["logits"].double(), data["label"]).item()
    counts = np.bincount(data["label"])
    assert evaluate("accuracy", 8) == pytest.approx(
        {
            "accuracy": (data["logits"].argmax(1) == data["label"]).double().mean().item(),
            "baseline_accuracy": counts.max() / WINDOWS,
            "cross_entropy": entropy,
            "windows": WINDOWS,
        }
    )


def by_hand(scores: list[float], labels: list[int], ratio: float) -> dict:
    metric = AnomalyMetric(anomaly_ratio=ratio)
    metric.process(None, [{"score": torch.tensor(scores), "labels": torch.tensor(labels)}])
    return metric.evaluate(1)


def test_one_found_step_finds_its_stretch_but_false_alarms_stay_single():
    #          reference   false alarm     a stretch, one step found      a stretch that is missed
    scores = [0.1, 0.1, 0.9, 0.1, 0.2, 0.2, 0.8, 0.2, 0.1, 0.3]
    labels = [REFERENCE, REFERENCE, 0, 0, 1, 1, 1, 1, 0, 1]
    result = by_hand(scores, labels, 20)
    assert result["threshold"] == pytest.approx(np.percentile(np.float32(scores), 80))
    assert result["steps"] == 8
    assert [result[key] for key in ("precision", "recall", "f1")] == pytest.approx([4 / 5, 4 / 5, 4 / 5])
    assert [result[key] for key in ("precision_raw", "recall_raw", "f1_raw")] == pytest.approx([1 / 2, 1 / 5, 2 / 7])
    assert result["accuracy"] == pytest.approx(6 / 8)
    assert result["mse"] == pytest.approx(np.mean(scores[2:]))


def test_repeated_steps_count_nowhere():
    once = by_hand([0.1, 0.2, 0.9, 0.3], [REFERENCE, 0, 1, 0], 30)
    again = by_hand([0.1, 5.0, 0.2, 0.9, 0.3], [REFERENCE, REPEATED, 0, 1, 0], 30)
    assert once == again


def test_a_test_without_anomalies_or_without_alarms_has_scores_of_zero():
    assert by_hand([0.1, 0.2, 0.9], [0, 0, 0], 40)["f1"] == 0
    assert by_hand([9.0, 0.2, 0.9], [REFERENCE, 0, 1], 10)["precision"] == 0


def test_without_labels_the_error_alone_is_measured():
    metric = AnomalyMetric()
    metric.process(None, [{"score": torch.tensor([1.0, 2.0])}, {"score": torch.tensor([3.0, 6.0])}])
    assert metric.evaluate(2) == {"mse": 3.0}


def test_threshold_is_over_training_and_test_together():
    train, test = np.arange(60.0), np.arange(60.0, 100.0)
    threshold = anomaly_threshold(train, test, 5)
    assert (np.concatenate([train, test]) > threshold).sum() == 5


def test_adjustment_at_both_ends():
    truth = np.array([1, 1, 0, 0, 1, 1], bool)
    flagged = np.array([0, 1, 1, 0, 1, 0], bool)
    assert point_adjusted(flagged, truth).tolist() == [True, True, True, False, True, True]
    assert point_adjusted(~truth, truth).tolist() == (~truth).tolist()
    assert point_adjusted(flagged[:0], truth[:0]).tolist() == []


@pytest.mark.parametrize("ratio", [0, 100, -1])
def test_a_ratio_that_is_no_percentage_is_refused(ratio):
    with pytest.raises(ValueError, match="anomaly_ratio"):
        AnomalyMetric(anomaly_ratio=ratio)


class Processes:
    """The part of ``mmengine.dist`` that the metrics use, between threads: a process of its own takes seconds to start.

    The real one is in ``test_metric.py``.
    """

    def __init__(self, size: int):
        self.barrier, self.slots, self.own = threading.Barrier(size, timeout=20), [None] * size, threading.local()

    def get_rank(self) -> int:
        return self.own.rank

    def get_world_size(self) -> int:
        return len(self.slots)

    def get_default_group(self) -> None:
        return None

    def get_comm_device(self, group: None) -> str:
        return "cpu"

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        self.slots[self.own.rank] = tensor.clone()
        self.barrier.wait()
        gathered = list(self.slots)
        self.barrier.wait()
        return gathered

    def all_reduce(self, tensor: torch.Tensor) -> None:
        tensor.copy_(sum(self.all_gather(tensor)))


@every_metric
@pytest.mark.parametrize("windows", [WINDOWS, 12, 1])
def test_three_processes_give_what_one_gives(monkeypatch, name, windows):
    whole, processes = evaluate(name, 16, range(windows)), Processes(3)
    monkeypatch.setattr(window_metric, "dist", processes)

    def evaluate_as(rank: int) -> dict:
        processes.own.rank = rank
        return evaluate(name, 4, range(rank, windows, 3))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(evaluate_as, range(3))) == [whole] * 3
