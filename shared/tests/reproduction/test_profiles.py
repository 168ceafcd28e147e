"""Profiles of a paper whose tools train in milliseconds."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mmrepro.cli import main
from mmrepro.reproduction import profiles

MEMBER = """
smoke = dict(
    subject="{name}", data="generated", network="random", metric="mse", better="{better}", baseline="the mean"
)
"""
TRAIN = """
import json, pathlib, sys
if "crash" in sys.argv[1]:
    raise RuntimeError("out of memory")
work_dir = pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
for name, seed in (("best_mse_epoch_1.pth", 9), ("epoch_2.pth", 2)):
    (work_dir / name).write_text(json.dumps(dict(seed=seed)))
(work_dir / "last_checkpoint").write_text("epoch_2.pth")
"""


@pytest.fixture
def paper(fake_paper):
    fake_paper.write("tools/train.py", TRAIN)
    for name, better in (("good", "lower"), ("poor", "higher"), ("crash", "lower")):
        fake_paper.write(f"configs/fake/smoke_{name}.py", MEMBER.format(name=name, better=better))
    return fake_paper


def test_every_member_is_tested_with_its_last_checkpoint_and_judged(paper, tmp_path):
    said = []
    results = profiles.run("fake", "smoke", tmp_path, say=said.append)
    assert said == results
    assert [one.member.subject for one in results] == ["crash", "good", "poor"]
    assert [one.value for one in results] == [None, 0.382, 0.382]
    assert [one.baseline for one in results] == [None, 1.25, 1.25]
    assert [one.beats_baseline for one in results] == [False, True, False]
    assert [one.fault.partition(",")[0] for one in results] == ["RuntimeError: out of memory", "", ""]
    assert all(one.cpu_seconds > 0 for one in results)
    assert not (paper.root / "reproductions.json").exists()


def test_the_page_says_what_failed_and_what_is_no_better(paper, tmp_path):
    results = profiles.run("fake", "smoke", tmp_path)
    text = profiles.write("fake", "smoke", results, tmp_path).read_text()
    assert text.count("does not beat its baseline") == 2
    assert "smoke_crash: RuntimeError: out of memory" in text
    assert "<td>0.382</td><td>1.25</td><td>the mean</td>" in text


def test_the_command_prints_one_table_and_fails_if_a_member_does(paper, tmp_path):
    arguments = ["reproduce", "fake", "--profile", "smoke", "--work-dir", str(tmp_path)]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 1
    assert "not better than the baseline: crash, poor" in ran.output
    assert ran.output.count("the mean") == 3
    for name in ("poor", "crash"):
        (paper.root / f"configs/fake/smoke_{name}.py").unlink()
    assert CliRunner().invoke(main, arguments).exit_code == 0


def test_options_of_rows_do_not_go_with_a_profile(paper):
    ran = CliRunner().invoke(main, ["reproduce", "fake", "--profile", "smoke", "--rows", "good", "--force"])
    assert ran.exit_code == 2
    assert "leave out --rows, --force" in ran.output


def test_a_test_that_does_not_print_the_metric_is_a_fault(paper, tmp_path):
    for name in ("poor", "crash"):
        (paper.root / f"configs/fake/smoke_{name}.py").unlink()
    file = paper.root / "configs/fake/smoke_good.py"
    file.write_text(file.read_text().replace("mse", "rmse"))
    (result,) = profiles.run("fake", "smoke", tmp_path)
    assert result.fault.startswith("the test printed no rmse and no baseline_rmse; it printed ")
    assert "mse" in result.fault.partition(";")[2]


def test_who_builds_on_a_member_is_none(paper):
    paper.write("configs/fake/own.py", '_base_ = "smoke_good.py"\n')
    assert [one.subject for one in profiles.members("fake", "smoke")] == ["crash", "good", "poor"]


def test_a_profile_that_no_config_has(fake_paper):
    with pytest.raises(LookupError, match="fake has no profile 'smoke'"):
        profiles.members("fake", "smoke")


@pytest.mark.parametrize(("old", "new"), [('metric="mse", ', ""), ("lower", "less"), ("", "smoke = None\n")])
def test_a_config_that_says_too_little(paper, old, new):
    file = paper.root / "configs/fake/smoke_good.py"
    text = file.read_text()
    file.write_text(text.replace(old, new) if old else new + text)
    with pytest.raises(ValueError, match=r"smoke_good\.py: smoke must be a dict of subject, data"):
        profiles.members("fake", "smoke")


def test_what_a_result_without_numbers_is(paper):
    member = profiles.members("fake", "smoke")[1]
    assert not profiles.Result(member, json.loads('{"mse": NaN, "baseline_mse": 1.0}'), 1, 1).beats_baseline
    assert not profiles.Result(member, {"mse": 0.1}, 1, 1).beats_baseline
