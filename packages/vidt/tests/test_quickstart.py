"""The quickstart and the other small training: their drawings, and a test beside the baseline."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from PIL import Image

from mm_vidt import quickstart
from mmrepro import papers
from mmrepro.datasets import registry
from mmrepro.testing import load_config, tiny

(BCCD,) = quickstart.OTHERS


def config(name=quickstart.CONFIG):
    return load_config(papers.find_config("vidt", name))


def test_the_drawings_are_pictures_levels_attention_coefficients_and_losses(tmp_path):
    tiny(config()).dump(tmp_path / "config.py")
    small = Config.fromfile(tmp_path / "config.py")
    init_default_scope(small.default_scope)
    torch.save({"state_dict": MODELS.build(small.model).state_dict()}, tmp_path / "weights.pth")
    log = tmp_path / "20250101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    measure = small.default_hooks.checkpoint.save_best
    log.write_text(f'{{"loss": 2.0, "step": 1}}\n{{"loss": 1.0, "step": 2}}\n{{"{measure}": 0.1, "step": 2}}\n')
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    names = [path.stem.rsplit("_")[-1] for path in drawn]
    assert names == ["1", "2", "3", "refinement", "attention", "coefficients", "convergence"]
    assert sorted(drawn) == sorted((tmp_path / "figures").iterdir())
    for path in drawn:
        with Image.open(path) as picture:
            picture.load()


def test_annotated_masks_lie_in_their_boxes():
    dataset = dict(config().test_dataloader.dataset, generate=dict(count=2, size=64))
    dataset["pipeline"] = [dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
    init_default_scope("mmdet")
    test = DATASETS.build(dataset)
    info = next(one for one in map(test.get_data_info, range(len(test))) if one["instances"])
    truth = quickstart.annotated(info, (info["height"], info["width"]))
    assert truth.labels.tolist() == [one["bbox_label"] for one in info["instances"]]
    for box, mask in zip(truth.boxes, truth.masks, strict=True):
        rows, columns = np.nonzero(mask)
        np.testing.assert_allclose(box, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), atol=1.5)
    boxes = [{key: value for key, value in one.items() if key != "mask"} for one in info["instances"]]
    assert quickstart.annotated({**info, "instances": boxes}, (info["height"], info["width"])).masks is None
    nothing = quickstart.annotated({**info, "instances": []}, (info["height"], info["width"]))
    assert nothing.boxes.shape == (0, 4)


def test_it_is_tested_beside_the_baseline_on_pictures_of_its_own():
    settings = config()
    ours, baseline = settings.test_evaluator
    assert baseline.type == "CommonPlacesMetric"
    assert ours.generate == baseline.generate == settings.test_dataloader.dataset.generate
    assert baseline.train == settings.train_dataloader.dataset.generate
    pictures = [settings[f"{part}_dataloader"].dataset.generate for part in ("train", "val", "test")]
    seeds = [set(range(one.seed, one.seed + one.count)) for one in pictures]
    assert len(set.union(*seeds)) == sum(map(len, seeds))


@pytest.mark.parametrize("name", quickstart.OTHERS)
def test_every_small_training_is_a_config_and_its_data_are_registered(name):
    training = quickstart.OTHERS[name]
    assert f"mmrepro quickstart vidt --config {name}" in papers.find_config("vidt", name).read_text()
    for data in training.data:
        assert registry.get(data).title


def test_blood_cells_are_tested_beside_guesses_from_the_training_pictures():
    settings = config(BCCD)
    ours, baseline = settings.test_evaluator
    assert ours.ann_file == baseline.ann_file == settings.test_dataloader.dataset.ann_file
    assert baseline.train.ann_file == settings.train_dataloader.dataset.ann_file


def test_blood_cells_are_trained_drawn_and_logged_by_steps():
    """As many for a part of the data set; without the logger's part all of a curve's AP would stand at step 0."""
    settings = config(BCCD)
    steps, hooks = settings.train_cfg, settings.default_hooks
    warm_up, decay = settings.param_scheduler
    assert (warm_up.end, decay.end, decay.T_max) == (decay.begin, steps.max_iters, steps.max_iters - decay.begin)
    assert steps.max_iters % steps.val_interval == 0
    assert (hooks.checkpoint.by_epoch, hooks.checkpoint.interval) == (False, steps.val_interval)
    assert hooks.logger.log_metric_by_epoch is settings.log_processor.by_epoch is decay.by_epoch is False
