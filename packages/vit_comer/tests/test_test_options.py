"""The test tool on small segmentors and detectors: in mixed precision, at several scales and flipped."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from mmseg.models import SegTTAModel
from PIL import Image

from mm_vit_comer.models.vit_comer import ViTCoMer
from mmrepro.engine import test as test_tool
from mmrepro.testing import load_config, tiny

CONFIGS = Path(__file__).resolve().parents[1] / "configs/vit_comer"
UPERNET = "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512"
MASK2FORMER = "vit-comer-l_beitv2_mask2former_8xb2-80k_ade20k-896x896"
MASK_RCNN = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco"
LOADED = {path.stem: load_config(path) for path in sorted(CONFIGS.glob("*.py"))}
# Longest and shortest side of a picture at ratio 1, and of what its sides are then multiples.
VIEWS = {
    UPERNET: (2048, 512, 32),
    UPERNET.replace("comer-t", "comer-s"): (2048, 512, 32),
    UPERNET.replace("comer-t", "comer-b"): (2048, 512, 32),
    MASK2FORMER: (3584, 896, 32),
    MASK2FORMER.replace("ade20k", "coco-stuff164k"): (3584, 896, 32),
    "upernet_vit-comer_own-folders": (2048, 512, 1),
    "vit-comer_c64_upernet_1xb4-300_camvid-160x160": (320, 240, 1),
    "vit-comer_c64_upernet_1xb4-400_shapes": (128, 128, 1),
}
PICTURES = 2
NUMBER = itertools.count()


def measured(name: str, folder: Path, *options: str) -> dict:
    """Return what the test tool measures for the tiny version of a config, with the same drawn weights each time."""
    config = tiny(load_config(CONFIGS / f"{name}.py"))
    unused = ("tiny", "train_", "val_", "optim_wrapper", "param_scheduler", "auto_scale_lr", "model_wrapper")
    for key in [key for key in config if key.startswith(unused)]:
        config.pop(key)  # the runner writes a config down many times, which takes longer than the test
    config.test_dataloader.dataset.generate.count = PICTURES
    if "generate" in config.test_evaluator:  # a detector's, of the same pictures
        config.test_evaluator.generate.count = PICTURES
    config.log_level, config.visualizer = "ERROR", dict(type="Visualizer")
    config.dump(folder / "small.py")
    weights = folder / "weights.pth"
    if not weights.is_file():
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope(config.default_scope):
            model = MODELS.build(config.model)
        model.init_weights()
        torch.save({"state_dict": model.state_dict()}, weights)
    arguments = [folder / "small.py", weights, "--work-dir", folder / "work", "--out", folder / "out.json", *options]
    names = f"experiment_name=options_{next(NUMBER)}"
    test_tool.main(argv=[*map(str, arguments), "--cfg-options", names])
    return json.loads((folder / "out.json").read_text())


def test_every_segmentor_has_views_and_no_detector():
    """mmdet's model of test-time augmentation merges boxes and refuses masks."""
    segmentors = {name for name, config in LOADED.items() if config.default_scope == "mmseg"}
    assert set(VIEWS) == segmentors
    for key in ("tta_pipeline", "tta_model"):
        assert {name for name, config in LOADED.items() if key in config} == segmentors
    assert {LOADED[name].tta_model.type for name in segmentors} == {"SegTTAModel"}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_the_official_scales_and_their_mirror_images(name, tmp_path):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.arange(40 * 60, dtype=np.uint8).reshape(40, 60) % 3).save(tmp_path / "labels.png")
    info = dict(
        img_path=str(tmp_path / "a.png"),
        seg_map_path=str(tmp_path / "labels.png"),
        reduce_zero_label=True,
        seg_fields=[],
        label_map=None,
    )
    with DefaultScope.overwrite_default_scope("mmseg"):
        views = Compose(LOADED[name].tta_pipeline)(info)
    longest, shortest, multiple = VIEWS[name]
    factors = [min(longest / 60, shortest / 40) * ratio for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
    assert [tuple(view.shape[1:]) for view in views["inputs"]] == [
        tuple(-(-int(side * factor + 0.5) // multiple) * multiple for side in (40, 60))
        for factor in factors
        for _ in range(2)
    ]
    assert [bool(one.flip) for one in views["data_samples"]] == [False, True] * 6
    labels = [one.gt_sem_seg.data for one in views["data_samples"]]
    assert all(torch.equal(one, labels[0]) for one in labels)
    assert labels[0][0, 0, :4].tolist() == [255, 0, 1, 255]  # neither resized nor flipped, and zero is nothing


def test_the_mean_over_the_views_is_what_is_measured(tmp_path, monkeypatch):
    views, merge = [], SegTTAModel.merge_preds
    monkeypatch.setattr(
        SegTTAModel, "merge_preds", lambda self, found: views.extend(map(len, found)) or merge(self, found)
    )
    assert "mIoU" in measured(UPERNET, tmp_path, "--tta")
    assert views == [4] * PICTURES  # two sizes, flipped or not, of each picture


@pytest.mark.parametrize("name", [UPERNET, MASK_RCNN])
def test_amp_moves_the_predictions_a_little(name, tmp_path, monkeypatch):
    given, under = [], []
    process, forward = Evaluator.process, ViTCoMer.forward

    def noted(self: Evaluator, data_samples: list, data_batch: dict) -> None:
        given.append(data_samples[0])
        process(self, data_samples, data_batch)

    monkeypatch.setattr(Evaluator, "process", noted)
    monkeypatch.setattr(ViTCoMer, "forward", lambda *a: under.append(torch.is_autocast_enabled("cpu")) or forward(*a))
    measured(name, tmp_path)
    measured(name, tmp_path, "--amp")
    assert under == [False] * PICTURES + [True] * PICTURES
    full, half = strongest(given[0]), strongest(given[PICTURES])
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.allclose(half, full, atol=0.02)


def strongest(sample: BaseDataElement) -> torch.Tensor:
    """Return the probabilities of a segmentation, or the scores of the twenty best boxes."""
    if "seg_logits" in sample:
        return sample.seg_logits.data.softmax(0)
    return sample.pred_instances.scores.sort(descending=True).values[:20]
