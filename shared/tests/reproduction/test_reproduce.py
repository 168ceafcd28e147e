"""The whole flow with a paper whose tools train in milliseconds."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mmrepro.datasets import registry
from mmrepro.reproduction import environment, ledger, rows, tables, tiers
from mmrepro.reproduction.reproduce import reproduce
from mmrepro.reproduction.tiers import Settings
from mmrepro.reproduction.verdicts import judge

TEST_WITHOUT_MSE = """
import json, pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--out") + 1]).write_text(json.dumps(dict(rmse=0.6)))
"""


@pytest.fixture
def settings(tmp_path):
    return Settings(tmp_path / "work", threads=1)


def entries(paper):
    return ledger.load(paper.root / "reproductions.json")


def states(outcomes):
    return sorted({(one.row, one.tier, one.state) for one in outcomes})


def test_all_tiers_end_in_the_ledger(fake_paper, settings):
    said = []
    outcomes = reproduce("fake", settings, pattern="fake_a", say=said.append)
    assert said == outcomes
    assert states(outcomes) == [
        ("*", "parity", "measured"),
        ("fake_a", "complexity", "measured"),
        ("fake_a", "evaluate", "not run"),
        ("fake_a", "train", "measured"),
    ]
    assert next(one.text for one in outcomes if one.tier == "evaluate") == (
        "not run: needs an official checkpoint: none is published"
    )
    trained = [entry for entry in entries(fake_paper) if entry.tier == "train"]
    assert [(entry.seed, entry.metrics["mse"]) for entry in trained] == [(1, 0.381), (2, 0.382)]
    assert "classes" not in trained[0].metrics
    assert trained[0].threads == 1
    row = rows.rows("fake")[0]
    verdict = judge(row, "train", entries(fake_paper))
    assert verdict.text == "reproduced"
    assert [one.baseline for one in verdict.measured] == [1.25, None]
    assert judge(row, "complexity", entries(fake_paper)).text == "reproduced"


def test_an_outcome_says_what_was_measured(fake_paper, settings):
    texts = {one.tier: one.text for one in reproduce("fake", settings, pattern="fake_b", seeds=(1,))}
    assert texts["train"].startswith("MSE 0.381 (off by 0.081), MAE 0.4 (reproduced), ")
    assert texts["complexity"].startswith("reproduced: 15 parameters, ")
    assert texts["parity"].startswith("reproduced: 1 cases passed, the worst at 0.1 of its tolerance, ")


def test_an_outcome_names_an_unclean_tree(fake_paper, settings, monkeypatch):
    monkeypatch.setattr(environment, "commit", lambda folder: ("a" * 40, False))
    texts = {one.tier: one.text for one in reproduce("fake", settings, pattern="fake_b", seeds=(1,))}
    assert texts["train"].startswith("MSE 0.381 (off by 0.081), MAE 0.4 (reproduced), unclean tree, ")


def test_a_result_that_lacks_a_metric_is_a_failure_and_no_entry(fake_paper, settings):
    fake_paper.write("tools/test.py", TEST_WITHOUT_MSE)
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))[0]
    assert outcome.state == "failed"
    assert "no 'mse' for MSE, only rmse" in outcome.text
    assert entries(fake_paper) == []


def test_what_the_ledger_holds_is_not_trained_again(fake_paper, settings):
    reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    again = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1, 5))
    assert sorted((one.seed, one.state) for one in again) == [(1, "known"), (5, "measured")]
    assert len(entries(fake_paper)) == 2


def test_another_config_is_measured_again(fake_paper, settings):
    reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    path = fake_paper.root / "configs/fake/fake_a.py"
    path.write_text(path.read_text() + "optimizer = dict(lr=0.1)\n")
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))[0]
    assert outcome.state == "measured"
    assert len({entry.config for entry in entries(fake_paper)}) == 2


def runs_of(settings):
    return [path.read_text().split() for path in settings.work_dir.rglob("runs.txt")]


def test_an_interrupted_run_goes_on_and_force_starts_over(fake_paper, settings):
    reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    (fake_paper.root / "reproductions.json").unlink()  # as if killed before the test
    reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    assert runs_of(settings) == [["resume=False", "resume=True"]]
    reproduce("fake", replace(settings, force=True), pattern="fake_a", tiers=["train"], seeds=(1,))
    assert runs_of(settings) == [["resume=False"]]
    assert len(entries(fake_paper)) == 2, "history is kept"


def test_a_failing_child_fails_its_row_alone(fake_paper, settings):
    (fake_paper.root / "configs/fake/fake_a.py").rename(fake_paper.root / "configs/fake/broken.py")
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("fake/fake_a.py", "fake/broken.py"))
    outcomes = {one.row: one for one in reproduce("fake", settings, tiers=["train"], seeds=(1,), jobs=2)}
    assert outcomes["fake_b"].state == "measured"
    failed = outcomes["fake_a"]
    assert failed.state == "failed"
    assert failed.text.startswith("failed: ValueError: the loss is not finite at step 3, log at ")
    assert failed.text.endswith("train.log")
    assert [entry.row for entry in entries(fake_paper)] == ["fake_b"], "failures are no measurements"


def test_a_config_that_does_not_load_fails_its_row_alone(fake_paper, settings):
    fake_paper.write("configs/fake/fake_a.py", "model = dict(")
    outcomes = {one.row: one.state for one in reproduce("fake", settings, tiers=["complexity", "train"], seeds=(1,))}
    assert outcomes == {"fake_a": "failed", "fake_b": "measured"}


def needing(paper, line):
    metafile = paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("        Seeds: [1, 2]\n", f"        {line}\n"))


def test_a_missing_data_set_is_named_with_the_command(fake_paper, settings, monkeypatch, tmp_path):
    needing(fake_paper, "Data: etth1")
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))[0]
    assert outcome.state == "not run"
    assert outcome.text.startswith("not run: needs the data set etth1 ")
    assert "mmrepro data get etth1" in outcome.text


def test_a_data_set_that_no_command_can_fetch_is_not_run(fake_paper, settings, monkeypatch, tmp_path):
    needing(fake_paper, "Data: etth1")
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)

    def by_hand(*arguments):
        raise registry.DataNotFoundError("get it by browser")

    monkeypatch.setattr(registry, "download", by_hand)
    settings = replace(settings, data_root=tmp_path, download=True)
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1, 2, 3))
    assert outcome.text == "not run: needs the data set etth1 (`mmrepro data get etth1` fetches it or says how)"


def test_everything_that_is_missing_is_named_at_once_weights_first(fake_paper, settings, monkeypatch, tmp_path):
    needing(fake_paper, "Data: [etth1, tower]")
    fake_paper.write(
        "data-sets.yml",
        """tower:
  title: Weights of a tower
  what: the tower's weights
  files:
    - {path: checkpoints, pictures: 1, ending: tower.pth}
  licence: none
  homepage: https://example.org
  citation: none
  instructions: Ask for it.
""",
    )
    monkeypatch.setattr(registry, "_catalog", registry._catalog.__wrapped__)  # not what an earlier test has read
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    settings = replace(settings, data_root=tmp_path)
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    assert outcome.text == (
        "not run: needs the tower's weights tower and the data set etth1 "
        "(`mmrepro data get tower` and `mmrepro data get etth1` fetch them or say how)"
    )
    lines = [line for line in tables.results_markdown("fake").splitlines() if "fake_a" in line]
    assert lines[0].endswith("| not run: needs the tower's weights |")


def test_rows_without_a_number_of_their_own_are_trained_where_they_are_named(fake_paper, settings):
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("Metrics: {MSE: 0.386, MAE: 0.4}", "Metrics: {}"))
    outcomes = reproduce("fake", settings, tiers=["train", "evaluate"], seeds=(1,))
    assert {(one.row, one.tier, one.state) for one in outcomes} == {
        ("*", "evaluate", "not run"),
        ("*", "train", "not run"),
        ("fake_b", "evaluate", "not run"),
        ("fake_b", "train", "measured"),
    }
    for one, tier in zip(outcomes, ("evaluate", "train"), strict=False):
        words = f"1 rows without a number of their own are left out: name them to {tier} them (--rows)"
        assert (one.tier, one.text) == (tier, words)
    outcomes = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    assert [(one.row, one.state) for one in outcomes] == [("fake_a", "measured")]


@pytest.mark.parametrize("tier", ["evaluate", "train"])
def test_a_config_without_a_test_is_not_run_and_not_trained_in_vain(fake_paper, settings, tier):
    path = fake_paper.root / "configs/fake/fake_a.py"
    path.write_text(path.read_text() + "test_dataloader = None\n")
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=[tier], seeds=(1,))
    words = "needs a test set: configs/fake/fake_a.py has none, so there is nothing to measure"
    assert outcome.text == f"not run: {words}"
    assert runs_of(settings) == []


def test_the_ledger_says_that_a_data_set_has_no_checksum(fake_paper, settings, monkeypatch):
    needing(fake_paper, "Data: etth1")
    monkeypatch.setattr(registry, "status", lambda name, root: SimpleNamespace(state="unverified"))
    monkeypatch.setattr(registry, "locate", lambda name, root: {})
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    assert outcome.entry.details["unverified_data"] == ["etth1"]


def test_a_missing_data_set_is_downloaded_on_request(fake_paper, settings, monkeypatch, tmp_path):
    needing(fake_paper, "Data: etth1")
    monkeypatch.setattr(registry, "status", lambda name, root: SimpleNamespace(state="missing"))
    monkeypatch.setattr(registry, "locate", lambda name, root: {})
    asked = []
    monkeypatch.setattr(registry, "download", lambda *arguments: asked.append(arguments))
    settings = replace(settings, data_root=tmp_path, download=True)
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))[0]
    assert outcome.state == "measured"
    assert asked == [("etth1", tmp_path)]


def test_a_wrong_data_file_fails_the_row(fake_paper, settings, monkeypatch, tmp_path):
    needing(fake_paper, "Data: etth1")
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    (tmp_path / "ETTh1.csv").write_text("date,OT\n")
    outcome = reproduce("fake", replace(settings, data_root=tmp_path), pattern="fake_a", tiers=["train"], seeds=(1,))[0]
    assert outcome.state == "failed"
    assert "DataCorruptError" in outcome.text


def test_a_row_may_need_a_device(fake_paper, settings, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    needing(fake_paper, "Needs: cuda")
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))[0]
    assert outcome.text == "not run: needs a CUDA device (a second)"


def test_a_wheel_has_no_parity_cases(fake_paper, settings):
    (fake_paper.root / "pyproject.toml").unlink()
    outcomes = {one.tier: one for one in reproduce("fake", settings, tiers=["complexity", "parity"])}
    assert outcomes["parity"].text == "not run: needs a checkout of the repository: wheels hold no parity cases"
    written = ledger.load(settings.work_dir / "fake" / "reproductions.json")
    assert [set(entry.metrics) for entry in written] == [{"parameters"}, {"parameters"}]


def test_the_official_checkpoint_is_evaluated_as_published(fake_paper, settings, monkeypatch, tmp_path):
    weights = tmp_path / "official.pth"
    weights.write_text('{"seed": 4}')
    digest = registry.digest(weights)
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    lines = f"    Weights: https://example.org/official.pth\n    Weights SHA256: {digest}\n    Results:"
    metafile.write_text(metafile.read_text().replace("    Results:", lines, 1))
    asked = []
    monkeypatch.setattr("pooch.retrieve", lambda *arguments, **options: asked.append(arguments) or str(weights))
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["evaluate"])[0]
    assert outcome.state == "measured"
    assert asked == [("https://example.org/official.pth", f"sha256:{digest}")]
    assert outcome.entry.metrics["mse"] == pytest.approx(0.384)
    assert outcome.entry.details == {"weights": "https://example.org/official.pth", "sha256": digest}
    assert reproduce("fake", settings, pattern="fake_a", tiers=["evaluate"])[0].state == "known"


def fetched_by_hand(paper):
    """Say that both rows' weights are published as a file that no command can fetch."""
    metafile = paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("Epochs: 1", "Official Checkpoint: o.pth"))


def test_weights_that_no_command_can_fetch_are_taken_from_a_folder(fake_paper, settings, tmp_path):
    fetched_by_hand(fake_paper)
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["evaluate"])
    assert outcome.text == (
        "not run: needs the official checkpoint o.pth, which no command can fetch: get it by browser and name its "
        "folder with --weights"
    )
    settings = replace(settings, weights=tmp_path / "weights")
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["evaluate"])
    assert outcome.text == f"not run: needs the official checkpoint o.pth, which {tmp_path / 'weights'} does not hold"
    settings.weights.mkdir()
    (settings.weights / "o.pth").write_text('{"seed": 4}')
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["evaluate"])
    assert outcome.entry.metrics["mse"] == pytest.approx(0.384)
    digest = registry.digest(settings.weights / "o.pth")
    assert outcome.entry.details == {"weights": "o.pth", "sha256": digest}


def test_a_model_without_parameters_is_evaluated_without_weights(fake_paper, settings, monkeypatch):
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("Parameters: 15", "Parameters: 0"))

    def test(paper, config, checkpoint, *arguments, **options):
        assert torch.load(checkpoint, weights_only=True)["state_dict"] == {}
        return {"mse": 0.386, "mae_percent": 40.0}

    monkeypatch.setattr("mmrepro.reproduction.runs.evaluate", test)
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["evaluate"])
    assert outcome.text.startswith("MSE 0.386 (reproduced), MAE 0.4 (reproduced)")
    assert outcome.entry.details == {}


def on_two_sets(paper, monkeypatch, metrics):
    """Give both rows one config with a set each, and weights; return the list of tests that are run."""
    fetched_by_hand(paper)
    file = paper.root / "configs/fake/metafile.yml"
    first, second = (
        file.read_text().replace("configs/fake/fake_b.py", "configs/fake/fake_a.py").split("  - Name: fake_b")
    )
    keys = "Measured By: {MSE: mse, MAE: {Key: mae_percent, Scale: 0.01}}"
    assert keys in first
    first, second = (
        part.replace(keys, f"Measured By: {{MSE: {name}/mse, MAE: {name}/mae}}")
        for part, name in ((first, "A"), (second, "B"))
    )
    file.write_text(f"{first}  - Name: fake_b{second}")
    run = []

    def test(*given, **options):
        run.append(given)
        time.sleep(0.3)  # long enough that every row asks meanwhile
        if isinstance(metrics, Exception):
            raise metrics
        return metrics

    monkeypatch.setattr("mmrepro.reproduction.runs.evaluate", test)
    return run


@pytest.mark.parametrize("jobs", [1, 2])
def test_rows_of_one_model_share_a_test(fake_paper, settings, monkeypatch, tmp_path, jobs):
    (tmp_path / "o.pth").write_text("{}")
    metrics = {"A/mse": 0.386, "A/mae": 0.4, "B/mse": 0.3, "B/mae": 0.4}
    run = on_two_sets(fake_paper, monkeypatch, metrics)
    outcomes = reproduce("fake", replace(settings, weights=tmp_path), tiers=["evaluate"], jobs=jobs)
    assert [one.state for one in outcomes] == ["measured", "measured"]
    assert len(run) == 1
    found = {one.row: one.entry for one in outcomes}
    assert found["fake_a"].seconds == found["fake_b"].seconds, "of the whole test, whoever ran it"
    assert found["fake_a"].details["shared_test"] == ["fake_b"]
    assert found["fake_b"].details["shared_test"] == ["fake_a"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_shared_test_that_fails_is_not_run_again_for_the_next_row(fake_paper, settings, monkeypatch, tmp_path, jobs):
    (tmp_path / "o.pth").write_text("{}")
    run = on_two_sets(fake_paper, monkeypatch, RuntimeError("no memory"))
    outcomes = reproduce("fake", replace(settings, weights=tmp_path), tiers=["evaluate"], jobs=jobs)
    assert {one.text for one in outcomes} == {"failed: RuntimeError: no memory"}
    assert len(run) == 1


def test_tests_of_two_models_run_side_by_side(fake_paper, settings, monkeypatch, tmp_path):
    (tmp_path / "o.pth").write_text("{}")
    fetched_by_hand(fake_paper)
    both = threading.Barrier(2, timeout=10)  # broken if one test waits for the end of the other

    def test(*given, **options):
        both.wait()
        return {"mse": 0.386, "mae_percent": 40.0}

    monkeypatch.setattr("mmrepro.reproduction.runs.evaluate", test)
    outcomes = reproduce("fake", replace(settings, weights=tmp_path), tiers=["evaluate"], jobs=2)
    assert [one.state for one in outcomes] == ["measured", "measured"]


def test_a_row_whose_set_a_test_has_left_out_is_not_run(fake_paper, settings, monkeypatch, tmp_path):
    (tmp_path / "o.pth").write_text("{}")
    on_two_sets(fake_paper, monkeypatch, {"A/mse": 0.386, "A/mae": 0.4})
    outcomes = {one.row: one for one in reproduce("fake", replace(settings, weights=tmp_path), tiers=["evaluate"])}
    assert outcomes["fake_a"].state == "measured"
    assert outcomes["fake_b"].text.startswith("not run: needs ")
    assert "which the test did not find, log at " in outcomes["fake_b"].text


def test_unchanged_sizes_and_parity_make_no_new_entries(fake_paper, settings):
    for _ in range(2):
        reproduce("fake", settings, tiers=["complexity", "parity"])
    assert len(entries(fake_paper)) == 3
    fake_paper.write_case("linear_2")
    reproduce("fake", settings, tiers=["complexity", "parity"])
    assert [entry.tier for entry in entries(fake_paper)] == ["complexity", "complexity", "parity", "parity"]


def test_runs_inside_the_package_are_refused(fake_paper):
    with pytest.raises(ValueError, match="where mim would find the dumped configs"):
        reproduce("fake", Settings(fake_paper.root / "work"))


def test_every_tier_has_a_claim():
    assert tiers.TIERS == ("complexity", "parity", "evaluate", "train")


VAL_IS_TEST = """
val_dataloader = dict(dataset=dict(type="Sets", names=["a"], pipeline=["read labels"]))
test_dataloader = dict(dataset=dict(type="Sets", names=["a", "b"], pipeline=["read"]))
"""
TRAIN_OF_TWO = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--work-dir", type=pathlib.Path)
parser.add_argument("--seed", type=int)
options = parser.parse_args()
for name, seed in (("best_mse_epoch_1.pth", options.seed), ("epoch_2.pth", options.seed + 10)):
    (options.work_dir / name).write_text(json.dumps(dict(seed=seed)))
(options.work_dir / "last_checkpoint").write_text("/moved/since/epoch_2.pth")
"""


def test_a_best_checkpoint_that_was_chosen_on_the_tested_data_is_named_beside_the_last_one(fake_paper, settings):
    config = fake_paper.root / "configs/fake/fake_a.py"
    config.write_text(config.read_text() + VAL_IS_TEST)
    fake_paper.write("tools/train.py", TRAIN_OF_TWO)
    outcomes = reproduce("fake", settings, pattern="fake_a", tiers=["train"])
    assert all(one.text.split(", ")[-2] == "best checkpoint on the tested data" for one in outcomes), outcomes
    trained = entries(fake_paper)
    assert [entry.details["last"]["mse"] for entry in trained] == [0.391, 0.392]
    shown = "MSE 0.382 ± 0.001, last 0.392 ± 0.001, MAE 0.4 ± 0.0, last 0.4 ± 0.0"
    table = tables.results_markdown("fake")
    assert f"| {shown} (2 seeds, best checkpoint on the tested data) |" in table
    fake_paper.write("tools/train.py", TRAIN_OF_TWO.replace("/epoch_2.pth", "/epoch_3.pth"))
    outcome = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(3,))[0]
    assert "names epoch_3.pth, which is not there" in outcome.text


@pytest.mark.parametrize("other", ['names=["c"]', 'root="there", names=["a"]'])
def test_a_best_checkpoint_that_was_chosen_on_other_data_is_the_result(fake_paper, settings, other):
    config = fake_paper.root / "configs/fake/fake_a.py"
    config.write_text(config.read_text() + VAL_IS_TEST.replace('names=["a"]', other))
    (outcome,) = reproduce("fake", settings, pattern="fake_a", tiers=["train"], seeds=(1,))
    assert "tested data" not in outcome.text
    assert "last" not in entries(fake_paper)[0].details
