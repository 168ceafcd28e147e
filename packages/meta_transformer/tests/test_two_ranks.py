"""Two processes: one file of kept features for both, and steps in which one of them lacks a task."""

import os
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmrepro import papers
from mmrepro.engine import distributed
from mmrepro.testing import load_config, tiny
from mmrepro.testing.children import finish, free_port, start

FEATURES = "meta-transformer_frozen-features_digits"
JOINT = "meta-transformer_unified_joint_digits-imu"


def train_as(rank, folder, *ports):
    """Train with each config of a folder as one of two processes; return by config what this one saw."""
    return {
        path.stem: _train_once(path, rank, str(port))
        for path, port in zip(sorted(folder.glob("*.py")), ports, strict=True)
    }


def _train_once(path, rank, port):
    config = Config.fromfile(path, format_python_code=False)
    launched = dict(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port, LOCAL_RANK=str(rank))
    # a process that has failed is not waited for as long as in a training; the log of a run asks compilers and git
    meet = partial(torch.distributed.init_process_group, timeout=timedelta(minutes=2))
    with (
        mock.patch.dict(os.environ, launched),
        mock.patch("torch.distributed.init_process_group", meet),
        mock.patch.object(Runner, "_log_env"),
    ):
        try:
            distributed.set_up(config, "pytorch", rank)
            runner = Runner.from_cfg(config)
            model, seen = runner.model.module, dict(encoded=0, tasks=[])
            before = {name: one.clone() for name, one in model.named_parameters()}

            def encode(module, inputs, output):
                seen["encoded"] += len(output)

            def batch(module, inputs, output):
                seen["tasks"] += [sorted(output["inputs"])] if isinstance(output["inputs"], dict) else []

            model.encoder.register_forward_hook(encode)
            model.data_preprocessor.register_forward_hook(batch)
            runner.train()
        finally:
            distributed.tear_down()
    weights = {name: one.detach() for name, one in model.named_parameters()}
    same = sorted(name for name, one in weights.items() if torch.equal(one, before[name]))
    return dict(seen, weights=weights, same=same)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Train with both configs in this process and another; return what the two saw."""
    folder = tmp_path_factory.mktemp("configs")
    for name in (FEATURES, JOINT):
        config = tiny(load_config(papers.find_config("meta_transformer", name)))
        config.pop("tiny")
        config.work_dir, config.log_level, config.experiment_name = str(folder / name), "ERROR", f"{name}_of_two_ranks"
        config.train_cfg = dict(type="ResumableEpochLoop", max_epochs=1)
        if name == FEATURES:
            (hook,) = (one for one in config.custom_hooks if one["type"] == "FeatureCacheHook")
            hook.folder, config.train_dataloader.batch_size = str(folder / "features"), 4
        else:
            config.val_dataloader = config.val_evaluator = config.val_cfg = None
            config.train_dataloader.batch_size, config.optim_wrapper.optimizer.weight_decay = 2, 0.0
        config.dump(folder / f"{name}.py")
    ports = [free_port(), free_port()]
    child = start([sys.executable, __file__, str(folder), *map(str, ports)])
    try:
        own = train_as(0, folder, *ports)
        finish(child)
    finally:
        child.kill()  # it waits for this process, which may have failed
    return folder, own, torch.load(folder / "other.pth", weights_only=True)


def test_one_process_computes_the_features_and_the_other_reads_them(two_ranks):
    folder, own, other = two_ranks
    assert len(list((folder / "features").glob("*.npy"))) == 2
    assert own[FEATURES]["encoded"] == 16 + 8
    assert other[FEATURES]["encoded"] == 4 + 8  # the first batches, to compare
    torch.testing.assert_close(own[FEATURES]["weights"], other[FEATURES]["weights"], rtol=0, atol=0)
    assert not any(name.startswith("head.") for name in own[FEATURES]["same"])


def test_a_process_without_a_task_gets_its_gradient_from_the_other(two_ranks):
    _, own, other = two_ranks
    pairs = list(zip(own[JOINT]["tasks"], other[JOINT]["tasks"], strict=True))
    assert any(one != another for one, another in pairs)
    torch.testing.assert_close(own[JOINT]["weights"], other[JOINT]["weights"], rtol=0, atol=0)
    assert own[JOINT]["same"] == []


if __name__ == "__main__":
    torch.save(train_as(1, Path(sys.argv[1]), *sys.argv[2:]), Path(sys.argv[1], "other.pth"))
