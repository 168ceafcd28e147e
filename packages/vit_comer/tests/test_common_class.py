"""The baseline for segmentation: the most common class at each place of the training pictures."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import METRICS
from PIL import Image

CLASSES = ("left", "right", "rare")


@pytest.fixture
def train(tmp_path):
    for number in range(3):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            labels = np.zeros((8, 12), np.uint8)
            labels[:, 6:] = 1
            labels[:2] = 255 if number else 2  # the first rows: one rare pixel against nothing
            Image.fromarray(labels).save(tmp_path / kind / f"{number}.png")
    init_default_scope("mmseg")
    prefix = dict(img_path="images", seg_map_path="masks")
    return dict(type="FolderSegDataset", data_root=str(tmp_path), data_prefix=prefix, metainfo=dict(classes=CLASSES))


def test_it_guesses_by_place_and_leaves_nothing_out(train):
    metric = METRICS.build(dict(type="CommonClassMetric", train=train, grid=4))
    assert metric.guess.tolist() == [[2] * 4, [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_its_values_are_those_of_the_guess_whatever_was_predicted(train):
    metric = METRICS.build(dict(type="CommonClassMetric", train=train, grid=4))
    metric.dataset_meta = dict(classes=CLASSES)
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[..., 4:] = 1
    for predicted in (truth, truth + 7):
        metric.process({}, [dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=predicted))])
        measured = metric.evaluate(1)
        assert measured["baseline_aAcc"] == pytest.approx(75)  # the upper quarter is guessed to be rare
        assert "mIoU" not in measured
