"""The metric: over windows, whatever the batches and the number of processes."""

import sys

import numpy as np
import pytest
import torch

from mmrepro.forecasting import ForecastMetric
from mmrepro.testing.children import finish, free_port, start

WINDOWS, STEPS, VARIATES = 37, 6, 3


def arrays() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"forecast": (WINDOWS, STEPS, VARIATES), "target": (WINDOWS, STEPS, VARIATES), "last": (WINDOWS, VARIATES)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def evaluate(batch: int, indices=range(WINDOWS), **options) -> dict:
    metric, data = ForecastMetric(**options), arrays()
    samples = [{name: values[i] for name, values in data.items()} for i in indices]
    for first in range(0, len(samples), batch):
        metric.process(None, samples[first : first + batch])
    return metric.evaluate(WINDOWS)


def test_errors_are_means_over_all_elements():
    data = {name: values.double().numpy() for name, values in arrays().items()}
    error = data["forecast"] - data["target"]
    repeated = data["last"][:, None] - data["target"]
    expected = {
        "mse": (error**2).mean(),
        "mae": np.abs(error).mean(),
        "rmse": (error**2).mean() ** 0.5,
        "mape": np.abs(error / data["target"]).mean(),
        "mspe": ((error / data["target"]) ** 2).mean(),
        "baseline_mse": (repeated**2).mean(),
        "baseline_mae": np.abs(repeated).mean(),
        "windows": WINDOWS,
    }
    assert evaluate(8) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 5, 36, 37])
def test_batch_size_changes_nothing(batch):
    assert evaluate(batch) == evaluate(16)


@pytest.mark.parametrize("kept", [16, 32])
def test_dropped_protocol_counts_the_first_full_batches_whatever_the_batch_size(kept):
    windows = WINDOWS // kept * kept
    dropped = evaluate(5, drop_last_batch=kept)
    assert dropped == evaluate(7, range(windows))
    assert dropped["windows"] == windows
    assert dropped["mse"] != evaluate(5)["mse"]


def test_errors_by_step_and_by_variate():
    data = arrays()
    squared = ((data["forecast"] - data["target"]).double() ** 2).numpy()
    result = evaluate(8, by_step=True, by_variate=True)
    assert result["mse_by_step"] == pytest.approx(squared.mean((0, 2)).tolist())
    assert result["mse_by_variate"] == pytest.approx(squared.mean((0, 1)).tolist())
    assert np.mean(result["mae_by_step"]) == pytest.approx(result["mae"])


def test_a_second_evaluation_starts_anew():
    metric, data = ForecastMetric(by_step=True), arrays()
    results = []
    for _ in range(2):
        metric.process(None, [{name: values[i] for name, values in data.items()} for i in range(4)])
        results.append(metric.evaluate(WINDOWS))
    assert results[0] == results[1]
    assert results[0]["windows"] == 4


def test_repeated_windows_are_refused_with_the_fix():
    with pytest.raises(ValueError, match="round_up=False"):
        evaluate(8, [*range(WINDOWS), 0])


def test_details_and_the_dropped_protocol_exclude_each_other():
    with pytest.raises(ValueError, match="drop_last_batch"):
        ForecastMetric(drop_last_batch=16, by_step=True)


def test_nothing_to_count_is_an_error():
    with pytest.raises(ValueError, match="no window"):
        evaluate(8, drop_last_batch=64)


def test_two_processes_give_what_one_gives(tmp_path):
    port = str(free_port())
    children = [start([sys.executable, __file__, str(rank), port, str(tmp_path)]) for rank in range(2)]
    for rank, child in enumerate(children):
        finish(child)
        results = torch.load(tmp_path / f"{rank}.pth", weights_only=True)
        by_step = [results["all"].pop(key) for key in ("mse_by_step", "mae_by_step")]
        whole = evaluate(16, by_step=True)
        assert by_step == [pytest.approx(whole.pop(key), rel=1e-12) for key in ("mse_by_step", "mae_by_step")]
        assert results["all"] == whole
        assert results["dropped"] == evaluate(16, drop_last_batch=16)
        assert results["uneven"] == evaluate(16, [*range(12), *range(12, 20, 2)])


def evaluate_as(rank: int, port: str, folder: str) -> None:
    """Do what one of two processes does: evaluate every second window."""
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    own = range(rank, WINDOWS, 2)
    results = {"all": evaluate(4, own, by_step=True), "dropped": evaluate(4, own, drop_last_batch=16)}
    # A training loader that drops its last batch can leave one process a whole batch less.
    results["uneven"] = evaluate(2, own[: (10, 6)[rank]])
    torch.save(results, f"{folder}/{rank}.pth")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    evaluate_as(int(sys.argv[1]), *sys.argv[2:])
