"""No checkpoint runs code, whichever door it comes through; what it can do to the stock libraries is the control.

The doors are tried in two processes of their own (hostile_doors.py): one has the host libraries as they are, the other
mmrepro's loader behind them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLACES = ("state_dict", "optimizer", "meta", "message_hub", "history", "alone")
DOORS = {
    "ceph",
    "det_inferencer",
    "get_model",
    "http",
    "https_scheme",
    "inferencer",
    "init_detector",
    "init_model",
    "load_checkpoint",
    "load_checkpoint_",
    "load_checkpoint_with_prefix",
    "load_from_http",
    "load_from_local",
    "load_url_of_mmengine",
    "local",
    "mmcls",
    "modelzoo",
    "open_mmlab_file",
    "openmmlab_file",
    "openmmlab_url",
    "pavi",
    "pretrain_inferencer",
    "pretrained_init",
    "pretrained_init_with_prefix",
    "runner_load_checkpoint",
    "runner_load_from",
    "runner_resume",
    "seg_inferencer",
    "strategy",
    "torch_load_of_mmengine",
    "torchvision",
}
# Its stock function reads a stream twice and fails on the way to the unsafe load.
FAILS_BY_ITSELF = {"ceph"}
CONFIG_CASES = {
    *(
        f"{door}/{place} {kind}"
        for door in ("inferencer", "det_inferencer", "seg_inferencer")
        for place in ("meta", "message_hub")
        for kind in ("code", "type")
    ),
    "runner_resume/config",
}


def try_the_doors(mode: str, folder: Path) -> dict[str, dict]:
    home = folder / "home"
    home.mkdir()
    unsafe = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    environment = {key: value for key, value in os.environ.items() if key not in unsafe}
    environment |= {
        "MMENGINE_HOME": str(home),
        "TORCH_HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "hostile_doors.py"), mode, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def stock(tmp_path_factory) -> dict[str, dict]:
    return try_the_doors("stock", tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, dict]:
    return try_the_doors("installed", tmp_path_factory.mktemp("installed"))


def of(results: dict[str, dict], payload: str) -> dict[str, dict]:
    return {name.split("/")[0]: result for name, result in results.items() if name.endswith(f"/{payload}")}


def test_the_stock_doors_run_a_payload(stock):
    ran = {door for door, result in of(stock, "state_dict").items() if result["ran"]}
    assert ran >= DOORS - FAILS_BY_ITSELF


def test_every_door_still_loads_a_good_checkpoint(installed):
    results = of(installed, "good")
    assert set(results) == DOORS
    assert {door: result["error"] for door, result in results.items() if result["error"]} == {}


@pytest.mark.parametrize("place", PLACES)
def test_no_door_runs_a_payload(installed, place):
    results = of(installed, place)
    assert set(results) == DOORS
    assert [door for door, result in results.items() if result["ran"]] == []
    for door, result in results.items():
        error = result["error"]
        assert error, f"{door} loaded it"
        assert (error["module"], error["type"]) == ("mmrepro.safe_loading", "UnsafeCheckpointError"), (door, error)
        assert f"{door}-{place}.pth" in error["text"]
        assert "builtins.exec" in error["text"]


def test_the_stock_doors_run_the_config_inside(stock):
    assert {name for name in CONFIG_CASES if stock[name]["ran"]} == CONFIG_CASES


def test_no_door_runs_the_config_inside(installed):
    assert {name for name in CONFIG_CASES if installed[name]["ran"]} == set()
    for name in CONFIG_CASES:
        error = installed[name]["error"]
        assert error, name
        assert error["type"] == "UnsafeCheckpointError"
        assert "pass the config's name or path" in error["text"]


def test_only_the_stock_loader_lets_a_builtin_into_the_methods_of_history_buffers(stock, installed):
    assert stock["history"]["ran"]
    assert not installed["history"]["ran"]


def test_the_entry_point_behind_mim_test_refuses_too(tmp_path):
    config = tmp_path / "toy.py"
    config.write_text(
        """
custom_imports = dict(imports=["hostile_doors"], allow_failed_imports=False)
default_scope = "mmengine"
model = dict(type="HostileToy")
test_dataloader = dict(dataset=dict(type="HostileToySet"), sampler=dict(type="DefaultSampler"), batch_size=2)
test_evaluator = dict(type="DumpResults", out_file_path="results.pkl")
test_cfg = dict()
"""
    )
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import torch
from hostile_doors import hostile
torch.save(hostile("state_dict", Path("ran")), "hostile.pth")
from mmrepro.engine.test import main
main(None, ["toy.py", "hostile.pth", "--work-dir", "work"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "hostile.pth is not loaded" in done.stderr
    assert not (tmp_path / "ran").exists()
