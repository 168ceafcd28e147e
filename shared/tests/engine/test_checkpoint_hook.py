"""Checkpoints are whole or not there."""

import os
import shutil

import pytest
import torch

from mmrepro import safe_loading
from mmrepro.engine import atomic_backend
from mmrepro.engine.checkpoint_hook import RESUME_KEY, latest_checkpoint
from mmrepro.testing import toy


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.pth"
    atomic_backend.write_atomically(b"old", path)

    def fail(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        atomic_backend.write_atomically(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_checkpoints_go_through_the_atomic_backend(train, tmp_path, monkeypatch):
    written = []
    put = atomic_backend.AtomicLocalBackend.put
    monkeypatch.setattr(
        atomic_backend.AtomicLocalBackend,
        "put",
        lambda self, obj, filepath: (written.append(os.path.basename(filepath)), put(self, obj, filepath)),
    )
    train(toy.config(train_cfg__max_epochs=1), tmp_path)
    assert written == ["epoch_1.pth", "best_mse_epoch_1.pth", "epoch_1.pth"]  # again, with the validation in it


def test_the_old_checkpoint_is_deleted_when_the_new_one_and_the_pointer_are_whole(train, tmp_path, monkeypatch):
    seen = []
    write = atomic_backend.write_atomically

    def watch(content, path):
        write(content, path)
        if os.path.basename(path) == "last_checkpoint":
            seen.append((latest_checkpoint(tmp_path).name, sorted(p.name for p in tmp_path.glob("epoch_*.pth"))))

    monkeypatch.setattr(atomic_backend, "write_atomically", watch)
    train(toy.config(default_hooks__checkpoint__max_keep_ckpts=1, default_hooks__checkpoint__save_best=None), tmp_path)
    assert seen[1] == ("epoch_2.pth", ["epoch_1.pth", "epoch_2.pth"])
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_5.pth"]


def test_two_checkpoints_and_the_best_are_kept(train, tmp_path):
    train(toy.config(), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.pth*")) == [
        "best_mse_epoch_5.pth",
        "epoch_4.pth",
        "epoch_5.pth",
    ]


def test_the_file_needs_no_global_of_ours(train, tmp_path):
    train(toy.config(train_cfg__max_epochs=1), tmp_path)
    checkpoint = safe_loading.load(latest_checkpoint(tmp_path))
    torch.save(checkpoint[RESUME_KEY], tmp_path / "state.pth")
    state = torch.load(tmp_path / "state.pth", weights_only=True)
    assert state["validated"]
    assert state["batches_done"] == 0
    assert RESUME_KEY not in safe_loading.load(next(tmp_path.glob("best_*.pth")))


def test_a_moved_work_directory_is_understood(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "epoch_1.pth").touch()
    (old / "last_checkpoint").write_text(str(old / "epoch_1.pth"))
    shutil.move(old, new)
    assert latest_checkpoint(new) == new / "epoch_1.pth"
    (new / "epoch_1.pth").unlink()
    assert latest_checkpoint(new) is None
    assert latest_checkpoint(tmp_path) is None


def test_a_best_checkpoint_that_is_gone_is_chosen_anew(train, tmp_path):
    train(toy.config(), tmp_path, interrupt=(20, False))
    next(tmp_path.glob("best_*.pth")).unlink()
    worse = dict(type="ToyMetric", scores=[50.0, 60.0])
    runner = train(toy.config(val_evaluator=worse), tmp_path, resume=True)
    assert runner.message_hub.get_info("best_score") == 50.0
    assert len(list(tmp_path.glob("best_*.pth"))) == 1
