from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmrepro.reproduction import environment, ledger
from mmrepro.reproduction.ledger import Entry


def test_entries_are_added_and_read_back(tmp_path):
    file = tmp_path / "deep" / "reproductions.json"
    assert ledger.load(file) == []
    first, second = Entry("a", "train", {"mse": 1.0}, "c", 1), Entry("a", "train", {"mse": 2.0}, "c", 2)
    ledger.append(file, first)
    ledger.append(file, second)
    assert ledger.load(file) == [first, second]
    assert [path.name for path in file.parent.iterdir()] == ["reproductions.json"]


def test_a_write_that_fails_leaves_the_old_ledger(tmp_path, monkeypatch):
    file = tmp_path / "reproductions.json"
    ledger.append(file, Entry("a", "train", {}, "c"))
    before = file.read_bytes()
    with pytest.raises(TypeError):
        ledger.append(file, Entry("a", "train", {"mse": object()}, "c"))
    assert file.read_bytes() == before


APPEND = """
import pathlib, sys
from mmrepro.reproduction import ledger
for number in range(40):
    ledger.append(pathlib.Path(sys.argv[1]), ledger.Entry(sys.argv[2], "train", {}, "c", number))
"""


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path):
    file = tmp_path / "reproductions.json"
    children = [subprocess.Popen([sys.executable, "-c", APPEND, str(file), row]) for row in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    written = [(entry.row, entry.seed) for entry in ledger.load(file)]
    assert sorted(written) == [(row, number) for row in "ab" for number in range(40)]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_lock_that_stays_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "LOCK_SECONDS", 0.1)
    file = tmp_path / "reproductions.json"
    (tmp_path / ".reproductions.json.lock").touch()
    with pytest.raises(TimeoutError, match=r"\.reproductions\.json\.lock has been there .* delete this file"):
        ledger.append(file, Entry("a", "train", {}, "c"))


@pytest.mark.parametrize("text", ["{", '[{"row": "a", "wrong": 1}]'])
def test_something_else_is_no_ledger(tmp_path, text):
    file = tmp_path / "reproductions.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="is not a ledger"):
        ledger.load(file)


def test_a_config_and_a_seed_are_known_once_measured():
    entries = [Entry("a", "train", {}, "c", 1)]
    assert ledger.known(entries, "a", "train", "c", 1)
    for other in (("b", "train", "c", 1), ("a", "evaluate", "c", 1), ("a", "train", "d", 1), ("a", "train", "c", 2)):
        assert not ledger.known(entries, *other)


def test_a_checkouts_ledger_lies_in_the_package_and_a_wheels_in_the_work_dir(fake_paper, tmp_path):
    assert ledger.path("fake", tmp_path) == fake_paper.root / "reproductions.json"
    (fake_paper.root / "pyproject.toml").unlink()
    assert ledger.path("fake", tmp_path) == tmp_path / "fake" / "reproductions.json"


def test_an_entry_says_where_it_was_measured(fake_paper):
    entry = ledger.entry("fake", "a", "train", {"mse": 1.0}, config="c", seconds=1.26, seed=3, threads=2)
    assert (entry.seed, entry.threads, entry.seconds) == (3, 2, 1.3)
    assert entry.versions["mmrepro-fake"] == "0.1.0"
    assert {"python", "torch", "numpy", "mmrepro"} <= set(entry.versions)
    assert "cores" in entry.hardware
    assert entry.date.endswith("+00:00")
    assert (entry.commit, entry.clean) == ("", False), "no checkout, nothing is known to be clean"


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_a_tree_is_clean_when_only_our_ledgers_changed(tmp_path):
    package = tmp_path / "packages" / "fake"
    package.mkdir(parents=True)
    (package / "model.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit, clean = environment.commit(package)
    assert len(commit) == 40
    assert clean
    (package / "reproductions.json").write_text(json.dumps([]))
    (package / ".reproductions.json.lock").touch()
    assert environment.commit(package) == (commit, True)
    (package / "model.py").write_text("a = 2\n")
    assert environment.commit(package) == (commit, False)


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment.threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment.threads() >= 1
