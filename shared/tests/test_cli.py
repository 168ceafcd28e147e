from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mmrepro.cli import main
from mmrepro.datasets import registry
from mmrepro.doctor import Finding


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the command sets for its children ends with the test."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result.output


@pytest.mark.parametrize("arguments", [["--help"], ["reproduce", "--help"], ["data", "--help"], ["completion", "bash"]])
def test_help_imports_nothing_heavy(arguments):
    code = f"""
import sys
from mmrepro.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert stop.code == 0
print(*sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in shown.splitlines()[-1].split()}
    assert "click" in loaded
    assert not {"torch", "mmengine", "pandas", "numpy", "matplotlib", "rich", "jinja2", "yaml", "pooch"} & loaded


def test_every_command_has_a_sentence():
    listed = run("--help")
    for name in ("list", "data", "reproduce", "convert", "report", "doctor", "quickstart", "completion", "bench"):
        assert f"  {name} " in listed


def test_list_shows_papers_rows_and_tiers(fake_paper):
    text = run("list", "fake")
    assert "fake" in text
    assert "fake_b" in text
    assert "not run" in text
    assert "parity: not run" in text


def test_an_unknown_paper_is_one_line():
    text = run("list", "relation-detrr", expect=1)
    assert text.startswith("Error: no paper named 'relation-detrr' is installed")
    assert "Traceback" not in text


def test_debug_shows_the_traceback():
    from mmrepro.papers import PaperNotFoundError

    with pytest.raises(PaperNotFoundError):
        run("--debug", "list", "nothing")


def test_reproduce_measures_shows_and_reports(fake_paper, tmp_path):
    text = run("reproduce", "Fake", "--rows", "fake_a", "--seeds", "1,4", "--work-dir", tmp_path / "w")
    assert "fake_a · train seed 4 · MSE 0.384 (reproduced)" in text
    assert "fake_a · evaluate · not run: needs an official checkpoint" in text
    assert "0.383 ± 0.002 (2 seeds)" in text
    assert f"report: {tmp_path / 'w' / 'fake' / 'report.html'}" in text
    assert (tmp_path / "w" / "fake" / "report.html").is_file()
    entries = json.loads((fake_paper.root / "reproductions.json").read_text())
    assert {entry["tier"] for entry in entries} == {"complexity", "parity", "train"}
    again = run(
        "reproduce", "fake", "--rows", "fake_a", "--seeds", "1", "--tier", "train", "--work-dir", tmp_path / "w"
    )
    assert "in the ledger already" in again
    assert "complexity ·" not in again


def test_reproduce_fails_when_a_row_fails(fake_paper, tmp_path):
    fake_paper.write("tools/train.py", "raise RuntimeError('out of memory')")
    text = run("reproduce", "fake", "--tier", "train", "--seeds", "1", "--work-dir", tmp_path / "w", expect=1)
    assert "fake_b · train seed 1 · failed: RuntimeError: out of memory, log at" in text
    assert "report: " in text


def test_reproduce_wants_numbers_as_seeds(fake_paper):
    assert "'1,x' is no list of numbers" in run("reproduce", "fake", "--seeds", "1,x", expect=2)


def test_report_writes_tables_too(fake_paper, tmp_path):
    out = tmp_path / "report.html"
    text = run("report", "fake", "--out", out, "--write-tables", "--work-dir", tmp_path)
    assert text.split() == [str(out), str(fake_paper.root / "README.md")]
    assert "| `fake_a` |" in (fake_paper.root / "README.md").read_text()


def test_tables_of_a_wheel_cannot_be_written(fake_paper, tmp_path):
    (fake_paper.root / "pyproject.toml").unlink()
    assert "installed from a wheel" in run("report", "fake", "--write-tables", "--work-dir", tmp_path, expect=1)


def test_convert_passes_the_options_on(monkeypatch):
    asked = []

    def convert_file(*arguments, **options):
        asked.append((arguments, options))
        return {"n_heads": 4}

    monkeypatch.setattr("mmrepro.checkpoint.convert_file", convert_file)
    text = run("convert", "fake", "a.pth", "b.safetensors", "-o", "n-heads=4", "-o", "name=x", "--to-official")
    (arguments, options) = asked[0]
    assert [str(one) for one in arguments] == ["fake", "a.pth", "b.safetensors", "True"]
    assert options == {"n_heads": 4, "name": "x"}
    assert text == 'b.safetensors  {"n_heads": 4}\n'
    assert "is not KEY=VALUE" in run("convert", "fake", "a", "b", "-o", "n_heads", expect=2)
    assert "the flag --to-official" in run("convert", "fake", "a", "b", "-o", "to-official=true", expect=2)


def test_quickstart_shows_result_baseline_plot_and_report(fake_paper, tmp_path):
    text = run("quickstart", "fake", "--work-dir", tmp_path / "q", "--seed", 7)
    assert "test mse: 0.3870   baseline (a trivial method): 1.2500" in text
    assert f"plot: {tmp_path / 'q' / 'figures' / 'forecast.png'}" in text
    assert f"report: {tmp_path / 'q' / 'report.html'}" in text


def test_a_quickstart_that_does_not_beat_the_baseline_fails_and_still_reports(fake_paper, tmp_path):
    text = run("quickstart", "fake", "--work-dir", tmp_path / "q", "--seed", 2023, expect=1)
    assert "test mse: 2.4030   baseline (a trivial method): 1.2500" in text
    assert f"report: {tmp_path / 'q' / 'report.html'}" in text
    assert text.endswith("Error: the model does not beat the baseline in mse\n")


def test_bench_shows_each_case(fake_paper):
    fake_paper.write("tests/bench.py", "def cases():\n    return {'attention': (int, int)}\n")
    shown = run("bench", "fake", "--repeats", "2")
    assert shown.startswith("attention: ")
    assert shown.splitlines()[-1] == str(fake_paper.root / "README.md")
    assert "| attention |" in (fake_paper.root / "README.md").read_text()


def test_doctor_fails_only_when_something_is_broken(monkeypatch):
    findings = [Finding("torch", "warning", "old", "pip install -U torch")]
    monkeypatch.setattr("mmrepro.doctor.examine", lambda: findings)
    text = run("doctor")
    assert "warning" in text
    assert "fix: pip install -U torch" in text
    findings.append(Finding("opencv", "broken", "no libGL"))
    run("doctor", expect=1)


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    """A data root with one right and one wrong file of a registry that has three data sets."""
    content = b"date,OT\n"
    right = registry.DataFile("right.csv", len(content), hashlib.sha256(content).hexdigest(), "https://example.org/r")
    sets = {
        name: registry.DataSet(name, f"the {name} one", (file,), (), "CC0", "https://example.org", "nobody")
        for name, file in (
            ("right", right),
            ("wrong", registry.DataFile("wrong.csv", 1, "0" * 64)),
            ("gone", registry.DataFile("gone.csv", 1, "0" * 64)),
        )
    }
    monkeypatch.setattr(registry, "_catalog", lambda: sets)
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("right", "wrong"):
        (tmp_path / f"{name}.csv").write_bytes(content)
    return tmp_path


def test_data_list_shows_licence_and_state(data_root):
    lines = run("data", "list", "--data-root", data_root).splitlines()
    states = {line.split()[0]: line.split()[-1] for line in lines if line.split()[0] in ("right", "wrong", "gone")}
    assert states == {"right": "ok", "wrong": "wrong", "gone": "missing"}
    assert "CC0" in lines[-1]


def test_data_check_fails_for_wrong_files_and_for_missing_ones_that_were_named(data_root):
    assert "ok" in run("data", "check", "right", "--data-root", data_root)
    run("data", "check", "gone", "--data-root", data_root, expect=1)
    text = run("data", "check", "--data-root", data_root, expect=1)
    assert "sha256" in text
    (data_root / "wrong.csv").unlink()
    run("data", "check", "--data-root", data_root)


def test_data_list_and_check_say_what_is_got_by_hand_and_what_is_unverified(data_root, monkeypatch):
    table = registry.DataFile("big/table.csv", rows=2, variates=1)
    toy = registry.DataSet("toy", "by size", (table,), (), "CC0", "https://example.org", "nobody", "Ask for it.")
    monkeypatch.setattr(registry, "_catalog", lambda: {"toy": toy})
    assert run("data", "list", "--data-root", data_root).rstrip().endswith("by hand: missing")
    assert "Ask for it. Put it at <data root>/big/table.csv" in run("data", "get", "toy", expect=1)
    (data_root / "big").mkdir()
    (data_root / "big/table.csv").write_text("date,OT\n2020-01-01,1\n2020-01-02,2\n")
    assert run("data", "list", "--data-root", data_root).rstrip().endswith("unverified")
    text = run("data", "check", "toy", "--data-root", data_root)
    assert text.startswith("unverified  toy: ")
    assert "2 rows and 1 variates, as published; no checksum is known" in text


def test_data_get_prints_where_the_files_are(data_root):
    text = run("data", "get", "right", "--data-root", data_root)
    assert text.splitlines()[-1] == str(data_root / "right.csv")
    assert "no data set is named 'left'; known: gone, right, wrong" in run("data", "get", "left", expect=1)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell):
    text = run("completion", shell)
    assert "_MMREPRO_COMPLETE" in text
    assert "mmrepro" in text


def test_completion_knows_commands_and_papers(fake_paper):
    environment = {**os.environ, "_MMREPRO_COMPLETE": "zsh_complete", "PYTHONPATH": str(fake_paper.root / "src")}

    def complete(words, number):
        code = "from mmrepro.cli import main; main(prog_name='mmrepro')"
        variables = {**environment, "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True).stdout

    assert "reproduce" in complete("mmrepro repr", 1)
    assert "fake" in complete("mmrepro reproduce fa", 2)
    assert "fake" in complete("mmrepro quickstart fa", 2)


def test_children_load_weights_only():
    run("completion", "bash")
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
