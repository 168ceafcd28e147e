from __future__ import annotations

import pytest

from mmrepro.reproduction import runs


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nValueError: b\n  detail\nlast\n", "ValueError: b"),
        ("Traceback\ntorch.OutOfMemoryError: CUDA\n", "torch.OutOfMemoryError: CUDA"),
        ("epoch 1\nstopped early\n\n", "stopped early"),
        ("", "no output"),
    ],
)
def test_the_last_error_line_of_a_log(tmp_path, text, line):
    (tmp_path / "log").write_text(text)
    assert runs.last_error(tmp_path / "log") == line


def test_a_training_without_a_best_checkpoint_is_a_failure(fake_paper, tmp_path):
    fake_paper.write("tools/train.py", "")
    with pytest.raises(runs.RunFailedError, match=r"left no best_\*.pth"):
        runs.train("fake", tmp_path / "a.py", tmp_path / "work", seed=1)


def test_a_test_without_metrics_is_a_failure_even_if_an_older_one_left_some(fake_paper, tmp_path):
    fake_paper.write("tools/test.py", "")
    (tmp_path / "metrics.json").write_text('{"mse": 0.1}')
    with pytest.raises(runs.RunFailedError, match="wrote no metrics"):
        runs.evaluate("fake", tmp_path / "a.py", tmp_path / "best.pth", tmp_path)


def test_a_killed_child_is_named(fake_paper, tmp_path):
    fake_paper.write("tools/train.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(runs.RunFailedError, match="killed by signal 9, log at"):
        runs.train("fake", tmp_path / "a.py", tmp_path / "work", seed=1)


ECHO = """
import os, pathlib, sys
pathlib.Path(sys.argv[3], "best_a.pth").write_text(os.environ["OMP_NUM_THREADS"] + " ".join(sys.argv))
"""


def test_children_get_their_threads_and_data_root(fake_paper, tmp_path):
    fake_paper.write("tools/train.py", ECHO)
    best = runs.train("fake", tmp_path / "a.py", tmp_path / "work", seed=1, data_root=tmp_path / "d", threads=7)
    assert best.read_text().startswith("7")
    assert best.read_text().endswith(f"--data-root {tmp_path / 'd'}")
