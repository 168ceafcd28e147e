from __future__ import annotations

import base64
import re
import struct
from pathlib import Path

import pytest

from mmrepro.reproduction import plots, report, rows, runs
from mmrepro.reproduction.reproduce import reproduce
from mmrepro.reproduction.tiers import Settings
from mmrepro.reproduction.verdicts import judge


@pytest.fixture
def work_dir(fake_paper, tmp_path):
    return tmp_path / "work"


def pictures(html):
    found = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([\w+/=]+)", html)]
    assert all(picture.startswith(b"\x89PNG") for picture in found)
    return found


def test_one_file_says_everything(fake_paper, work_dir):
    outcomes = reproduce("fake", Settings(work_dir, threads=1), pattern="fake_a")
    page = report.write("fake", work_dir, outcomes=outcomes)
    html = page.read_text()
    assert page == work_dir / "fake" / "report.html"
    assert not re.search(r'(src|href)="(?!data:)', html), "nothing is loaded from elsewhere"
    assert len(pictures(html)) == 2, "reported against measured, and the loss curves of fake_a"
    for words in (
        "2 reported rows, 1 measured, 1 reproduced",
        "0.382 ± 0.001 (2 seeds)",
        "1.250",
        "not run",
    ):
        assert words in html
    for tier in ("complexity", "parity", "train"):
        assert f'<span class="badge reached" title="reproduced">{tier}</span>' in html
    assert '<span class="badge absent" title="not run">evaluate</span>' in html
    assert "not run: needs an official checkpoint" in html
    assert "torch" in html
    assert "1 cases passed" in html


def test_before_anything_is_measured(fake_paper, work_dir):
    html = report.write("fake", work_dir).read_text()
    assert "2 reported rows, 0 measured, 0 reproduced" in html
    assert pictures(html) == []
    assert "This run" not in html


def test_a_row_that_is_off_says_by_how_much(fake_paper, work_dir):
    reproduce("fake", Settings(work_dir, threads=1), pattern="fake_b", tiers=["train"])
    html = report.write("fake", work_dir).read_text()
    assert '<span class="badge differs">off by 0.082</span>' in html
    assert '<span class="badge differs" title="off by 0.082 (MSE)">train</span>' in html


def test_texts_are_escaped(fake_paper, work_dir):
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("Dataset: Lorenz-96", "Dataset: <script>alert(1)</script>"))
    html = report.write("fake", work_dir).read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def height(picture):
    return struct.unpack(">I", picture[20:24])[0]


def test_the_overview_grows_with_its_rows(fake_paper, work_dir):
    outcomes = reproduce("fake", Settings(work_dir, threads=1), tiers=["train"])
    entries = [outcome.entry for outcome in outcomes]
    drawn = [(row.name, one) for row in rows.rows("fake") for one in judge(row, "train", entries).measured]
    assert len(drawn) == 4
    assert height(plots.reported_and_measured(drawn)) > height(plots.reported_and_measured(drawn[:1]))


def test_logs_without_a_loss_give_no_curves(tmp_path):
    log = tmp_path / "scalars.json"
    log.write_text('{"mse": 0.4, "step": 1}\n')
    assert plots.loss_curves([("seed 1", [log])], "mse") is None


@pytest.mark.parametrize(("line", "unit"), [('"epoch": 1, "iter": 4', "epoch"), ('"iter": 4', "iteration")])
def test_validation_is_drawn_over_what_training_counts(tmp_path, monkeypatch, line, unit):
    titles = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda _, text, **__: titles.append(text))
    log = tmp_path / "scalars.json"
    log.write_text(f'{{"loss": 1.0, {line}, "step": 4}}\n{{"mse": 0.4, "step": 4}}\n')
    assert plots.loss_curves([("seed 1", [log])], "mse")
    assert titles == ["training loss by iteration", f"validation mse by {unit}"]


def test_a_torn_last_line_of_a_log_is_left_out(tmp_path):
    log = tmp_path / "scalars.json"
    log.write_text('{"loss": 1.0, "step": 1}\n{"loss": 0.')
    assert plots.read_scalars(log) == [{"loss": 1.0, "step": 1}]


@pytest.mark.parametrize(("seconds", "text"), [(95, "95 s"), (130, "2 min"), (12600, "3.5 h")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text


def test_the_quickstart_is_never_a_row(fake_paper, work_dir):
    from mmrepro import quickstart

    result = quickstart.run("fake", work_dir, seed=7)
    assert result.compared == {"mse": (0.387, 1.25)}
    html = result.report.read_text()
    assert "never a row." in html
    assert "generator inside the repository" in html
    assert "<th>baseline (a trivial method)</th>" in html
    assert "<code>forecast</code>" in html, "a figure's name"
    assert "0.3870" in html
    assert "1.2500" in html
    assert len(pictures(html)) == len(result.figures) == 1
    assert not (fake_paper.root / "reproductions.json").exists()


def test_a_paper_says_what_its_quickstart_compares_and_trains_on(fake_paper, work_dir):
    from mmrepro import quickstart

    file = fake_paper.root / "src/mm_fake/quickstart.py"
    file.write_text(file.read_text() + 'NOTE = "Photographs of cats."\n')
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    metafile.write_text(f"Baseline: bicubic\n{metafile.read_text()}")
    result = quickstart.run("fake", work_dir)
    assert result.baseline == "bicubic"
    html = result.report.read_text()
    assert "<th>baseline (bicubic)</th>" in html
    assert "Photographs of cats." in html
    assert "The baseline is what bicubic reaches" in report.write("fake", work_dir).read_text()
    assert "generator inside the repository" not in html


def test_another_small_training_has_its_own_config_note_and_data(fake_paper, work_dir, monkeypatch):
    from mmrepro import quickstart
    from mmrepro.datasets import registry

    file = fake_paper.root / "src/mm_fake/quickstart.py"
    more = """
from mmrepro.quickstart import SmallTraining
OTHERS = {"fake_a": SmallTraining("Photographs of dogs.", ("dogs",), "a guess")}
"""
    file.write_text(file.read_text() + more)
    folder = registry.DataFile("dogs", pictures=3, part=True)
    dogs = registry.DataSet("dogs", "dogs", (folder,), (), "CC0", "https://example.org", "nobody")
    monkeypatch.setattr(registry, "_catalog", lambda: {"dogs": dogs})
    monkeypatch.setenv(registry.ENVIRONMENT_VARIABLE, str(work_dir / "data"))
    with pytest.raises(registry.DataNotFoundError, match="dogs of dogs was not found"):
        quickstart.run("fake", work_dir, config="fake_a")
    assert not (work_dir / "runs.txt").exists(), "it is not trained before its data are there"
    (work_dir / "data/dogs").mkdir(parents=True)
    (work_dir / "data/dogs/rex.png").touch()
    html = quickstart.run("fake", work_dir, config="fake_a", seed=7).report.read_text()
    assert "<code>fake_a</code>, seed 7" in html
    assert "Photographs of dogs." in html
    assert "holds 1 of 3 pictures" in html
    assert "<th>baseline (a guess)</th>" in html
    with pytest.raises(LookupError, match="'fake_b' is no small training of fake; these are: fake_quick, fake_a"):
        quickstart.run("fake", work_dir, config="fake_b")


@pytest.mark.parametrize(
    ("metrics", "behind"),
    [
        ({"A/psnr": 31.0, "baseline_A/psnr": 30.0, "B/mse": 0.4, "baseline_B/mse": 0.5}, []),
        ({"A/psnr": 30.0, "baseline_A/psnr": 30.0, "B/mse": 0.6, "baseline_B/mse": 0.5}, ["A/psnr", "B/mse"]),
        ({"A/psnr": float("nan"), "baseline_A/psnr": 30.0}, ["A/psnr"]),
        ({"seconds": 3.0, "baseline_seconds": 2.0}, []),  # no row says which direction is better
    ],
)
def test_a_model_beats_its_baseline_in_the_direction_that_the_rows_say(metrics, behind):
    from mmrepro.quickstart import Result

    result = Result(metrics, [], Path("report.html"), "a trivial method", {"psnr": "higher", "mse": "lower"})
    assert result.behind == behind


def test_a_second_quickstart_starts_over(fake_paper, work_dir):
    from mmrepro import quickstart

    for _ in range(2):
        quickstart.run("fake", work_dir)
    assert (work_dir / "runs.txt").read_text().split() == ["resume=False"] * 2


def test_a_failing_quickstart_names_the_log(fake_paper, work_dir):
    from mmrepro import quickstart

    fake_paper.write("tools/train.py", "raise MemoryError('too small')")
    with pytest.raises(runs.RunFailedError, match="MemoryError: too small, log at"):
        quickstart.run("fake", work_dir)


def test_averages_and_numbers_that_cannot_be_measured_have_tables(fake_paper, work_dir):
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    text = metafile.read_text().replace("Metrics: {MSE: 0.3, MAE: 0.4}", "Metrics: {}")
    metafile.write_text(
        f"""{text}Averages:
  - {{Name: both, Of: [fake_a, fake_b], Dataset: Lorenz-96, Metrics: {{MSE: 0.4}}, Source: table 2,
     Tolerance: {{MSE: 0.008}}, Measured By: {{MSE: mse}}, Better: lower}}
Not Reproducible:
  - {{What: speed, Dataset: D, Metrics: {{memory: 7 GB}}, Source: s, Why: another machine}}
"""
    )
    html = report.write("fake", work_dir).read_text()
    assert "1 reported rows, 0 measured, 0 reproduced" in html
    assert 'title="0 of 2 rows measured">not run' in html
    assert "another machine" in html
    reproduce("fake", Settings(work_dir, threads=1), pattern="fake", tiers=["train"])
    html = report.write("fake", work_dir).read_text()
    assert 'title="">better by 0.01' in html
    assert "mse 0.382" in html, "a run without a reported number shows what was measured"
