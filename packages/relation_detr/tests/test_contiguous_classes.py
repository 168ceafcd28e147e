"""From an official file to contiguous classes and through a test: the same detections, and the same AP."""

import json

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import Runner

from mm_relation_detr.checkpoint import to_official
from mm_relation_detr.class_rows import is_class_row
from mmrepro import papers
from mmrepro.checkpoint import convert_file
from mmrepro.testing import load_config, tiny

NAMES = ("none", "disc", "none", "square", "none", "none", "none", "triangle")
CONTIGUOUS = {"model.bbox_head.num_classes": 3, "test_dataloader.dataset.labels": "contiguous"}


def tiny_config(folder, options):
    config = tiny(load_config(papers.find_config("relation_detr", "relation-detr_r50-4scale_2xb5-12e_coco")))
    config.pop("tiny")
    config.work_dir, config.log_level, config.experiment_name = str(folder), "ERROR", folder.name
    config.merge_from_dict(options)
    return config


def evaluate(folder, checkpoint, options):
    """Return the numbers of a test and its detections, best first."""
    folder.mkdir()
    config = tiny_config(folder, options)
    config.load_from = str(checkpoint)
    config.test_evaluator.update(outfile_prefix=str(folder / "found"), iou_thrs=[0.05])  # it never was trained
    numbers = Runner.from_cfg(config).test()
    found = json.loads((folder / "found.bbox.json").read_text())
    return numbers, sorted(found, key=lambda one: (one["image_id"], -one["score"]))


@pytest.fixture
def official(tmp_path):
    """Weights in the official layout, whose ids without a category have scores near zero, as training makes them."""
    torch.manual_seed(3)
    model = MODELS.build(tiny_config(tmp_path, {"model.bbox_head.num_classes": len(NAMES)}).model)
    unused = [number for number, name in enumerate(NAMES) if name == "none"]
    state = model.state_dict()
    for key in filter(is_class_row, state):
        if key.endswith("bias"):
            state[key] += torch.linspace(0, 0.5, len(NAMES))
            state[key][unused] = -20
    codes = [code for name in NAMES for code in [*map(ord, name), -1]][:-1]
    torch.save(to_official(state) | {"_classes_": torch.tensor(codes)}, tmp_path / "official.pth")
    return tmp_path / "official.pth"


def test_a_file_with_contiguous_classes_gives_the_same_ap(official, tmp_path):
    converted = tmp_path / "model3.safetensors"
    convert_file("relation_detr", official, converted, contiguous=True)
    raw, contiguous = evaluate(tmp_path / "raw", official, {}), evaluate(tmp_path / "three", converted, CONTIGUOUS)
    assert raw[0] == pytest.approx(contiguous[0], abs=1e-6)
    assert raw[0]["coco/bbox_mAP"] > 0
    assert {one["category_id"] for one in raw[1]} == {1, 3, 7}
    for key in ("image_id", "category_id"):
        assert [one[key] for one in raw[1]] == [one[key] for one in contiguous[1]]
    boxes, others = (np.array([[*one["bbox"], one["score"]] for one in found]) for _, found in (raw, contiguous))
    assert np.allclose(boxes, others, atol=1e-4)
