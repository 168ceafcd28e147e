"""The host libraries' own programs and workers with served operators, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmrepro.ops import ext, finder

# isort: split
# The finder stands now, and mmcv's operators can be imported.
import mmcv.ops
import mmdet
from mmcv import _ext as extension

needs_served = pytest.mark.skipif(
    not finder.is_served(extension), reason="the installed mmcv has compiled operators: nothing is served"
)
MMDET = Path(mmdet.__path__[0]) / ".mim"
CONFIG = """
_base_ = "{base}"
custom_imports = dict(imports=["mmrepro"], allow_failed_imports=False)
model = dict(
    backbone=dict(base_channels=16, stem_channels=16, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32), bbox_head=dict(in_channels=32, fc_out_channels=32, num_classes=1)
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]
pack = dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"))
data = dict(
    data_root="{folder}",
    ann_file="boxes.json",
    data_prefix=dict(img=""),
    metainfo=dict(classes=("box",)),
    pipeline=[*load, dict(type="Resize", scale=(64, 64)), pack],
)
train_dataloader = dict(num_workers=1, dataset=data)
val_dataloader = dict(num_workers=1, dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file="{folder}/boxes.json")
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
"""
WORKERS = """
import sys
try:
    import mmcv.ops
except ModuleNotFoundError as error:
    assert error.name == "mmcv._ext", error
else:
    assert __name__ != "__main__", "the operators were there before mmrepro was imported"
import mmrepro
import torch
from torch.utils.data import DataLoader, Dataset

class Boxes(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        from mmcv.ops import nms
        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
        return nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)[1]

if __name__ == "__main__":
    for context in ("fork", "spawn"):
        loader = DataLoader(Boxes(), num_workers=1, multiprocessing_context=context)
        assert [kept.tolist() for kept in loader] == [[[1, 2]]] * 2, context
    print("both")
"""


def run(*command: object, cwd: Path) -> str:
    """Run Python in a fresh process and return what it printed."""
    ran = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture
def data(tmp_path):
    """A folder with two images of noise and their boxes, as COCO writes them, and a config for mmdet's tools."""
    noise = np.random.default_rng(0)
    for name in "ab":
        mmcv.imwrite(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8), str(tmp_path / f"{name}.png"))
    images = [dict(id=number, file_name=f"{name}.png", width=64, height=64) for number, name in enumerate("ab")]
    boxes = [
        dict(id=number + 1, image_id=number, category_id=1, bbox=[8, 8, 40, 32], area=1280, iscrowd=0)
        for number in range(2)
    ]
    annotations = dict(images=images, annotations=boxes, categories=[dict(id=1, name="box")])
    (tmp_path / "boxes.json").write_text(json.dumps(annotations))
    base = MMDET / "configs" / "faster_rcnn" / "faster-rcnn_r50_fpn_1x_coco.py"
    (tmp_path / "config.py").write_text(CONFIG.format(base=base.as_posix(), folder=tmp_path.as_posix()))
    return tmp_path


def test_mmdets_own_tools_run(data):
    """train.py with custom_imports alone; test.py imports operators before it reads the config."""
    log = run(MMDET / "tools" / "train.py", "config.py", "--work-dir", "run", cwd=data)
    assert "bbox_mAP: " in log
    checkpoint = data / "run" / "epoch_1.pth"
    log = run("-m", "mmrepro.ops", MMDET / "tools" / "test.py", "config.py", checkpoint, "--work-dir", "run", cwd=data)
    assert "bbox_mAP: " in log


def test_a_script_runs_as_if_python_ran_it(tmp_path):
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    script = "import sys, beside; print(__name__, sys.argv, beside.NAME, mmcv._ext.nms.__name__)"
    (tmp_path / "script.py").write_text(f"import mmcv._ext\n{script}\n")
    assert run("-m", "mmrepro.ops", "script.py", "--x", cwd=tmp_path) == "__main__ ['script.py', '--x'] beside nms\n"
    ran = subprocess.run([sys.executable, "-m", "mmrepro.ops"], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert ran.stderr.startswith("usage: python -m mmrepro.ops SCRIPT")


@needs_served
def test_workers_have_the_operators_forked_or_spawned_and_after_an_earlier_failure(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    assert run("workers.py", cwd=tmp_path) == "both\n"


def test_a_compiled_extension_of_the_real_mmcv_wins(tmp_path):
    (tmp_path / "_ext.py").write_text("nms = 'compiled'\n")
    code = """
import mmrepro, mmcv
mmcv.__path__.insert(0, ".")
import mmcv._ext
print(mmcv._ext.nms, mmcv._ext.__file__)
"""
    assert run("-c", code, cwd=tmp_path).split()[0] == "compiled"


@needs_served
def test_an_operator_that_nobody_serves_says_so_through_mmcvs_own_module():
    features, boxes = torch.zeros(1, 4, 5, 5), torch.zeros(1, 25, 4)
    with pytest.raises(ext.OperatorNotServedError, match=r"'border_align_forward' .* compile mmcv.* or use a model"):
        mmcv.ops.BorderAlign(pool_size=1)(features, boxes)
