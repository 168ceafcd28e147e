"""The quickstart and the other small trainings: their drawings, and a test beside the baseline."""

from unittest.mock import Mock

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, MODELS, init_default_scope
from PIL import Image
from pycocotools import mask as run_lengths

from mm_vit_comer import quickstart
from mmrepro import papers
from mmrepro.datasets import registry
from mmrepro.testing import load_config, tiny

CAMVID, DETECTION = quickstart.OTHERS


def config(name=quickstart.CONFIG):
    return load_config(papers.find_config("vit_comer", name))


@pytest.mark.parametrize(("name", "measure"), [(quickstart.CONFIG, "mIoU"), (DETECTION, "coco/bbox_mAP")])
def test_every_drawing_is_a_whole_picture(tmp_path, name, measure):
    small = tiny(config(name))
    small.dump(tmp_path / "config.py")
    init_default_scope(small.default_scope)
    torch.save({"state_dict": MODELS.build(small.model).state_dict()}, tmp_path / "weights.pth")
    log = tmp_path / "20250101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text(f'{{"loss": 2.0, "step": 1}}\n{{"loss": 1.0, "step": 2}}\n{{"{measure}": 40.0, "step": 2}}\n')
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    names = [path.stem.rsplit("_")[-1] for path in drawn]
    assert names == ["1", "2", "3", "features", "interactions", "samples", "convergence"]
    for path in drawn:
        with Image.open(path) as picture:
            picture.load()


def test_annotated_objects_and_those_with_a_fair_score_are_compared(tmp_path, monkeypatch):
    small = tiny(config(DETECTION))
    init_default_scope(small.default_scope)
    test = DATASETS.build(small.test_dataloader.dataset)
    info = test.get_data_info(0)
    nothing = run_lengths.encode(np.zeros((info["height"], info["width"]), np.uint8, order="F"))
    found = dict(bboxes=[[1, 2, 3, 4], [5, 6, 7, 8]], scores=[0.1, 0.9], labels=[2, 0], masks=[nothing] * 2)
    inferencer = Mock(return_value={"predictions": [found]})
    inferencer.model.dataset_meta = test.metainfo
    drawn = {}
    names = ("picture", "truth", "predicted", "classes", "palette", "path")
    monkeypatch.setattr(quickstart, "draw_objects", lambda *given: drawn.update(zip(names, given, strict=True)))
    quickstart._compare_objects(inferencer, test, 0, tmp_path / "drawn.png")
    assert drawn["predicted"].boxes.tolist() == [[5, 6, 7, 8]]
    assert drawn["predicted"].labels.tolist() == [0]
    assert drawn["truth"].labels.tolist() == [one["bbox_label"] for one in info["instances"]]
    for box, mask in zip(drawn["truth"].boxes, drawn["truth"].masks, strict=True):
        rows, columns = np.nonzero(mask)
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(box, edges, atol=1.5)


def test_annotations_are_drawn_as_the_data_set_loads_them(tmp_path, monkeypatch):
    for kind in ("val", "valannot"):
        (tmp_path / kind).mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "val/a.png")
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "valannot/a.png")
    data = config(CAMVID).val_dataloader.dataset
    init_default_scope("mmseg")
    test = DATASETS.build(dict(data, data_root=str(tmp_path), metainfo=dict(classes=("car", "road"))))
    inferencer = Mock(return_value={"predictions": [np.zeros((3, 4), int)]})
    inferencer.model.dataset_meta = test.metainfo
    drawn = []
    monkeypatch.setattr(quickstart, "draw_labels", lambda *given: drawn.append(given[1]))
    quickstart._compare_labels(inferencer, test, 0, tmp_path / "drawn.png")
    assert drawn[0].tolist() == [[255] * 3 + [1], [255] * 4, [0] + [255] * 3]


@pytest.mark.parametrize("name", [quickstart.CONFIG, DETECTION])
def test_it_is_tested_beside_the_baseline_on_pictures_of_its_own(name):
    settings = config(name)
    ours, baseline = settings.test_evaluator
    wanted = {"mmseg": ("IoUMetric", "CommonClassMetric"), "mmdet": ("ShapesCocoMetric", "ShapesCommonPlacesMetric")}
    assert (ours["type"], baseline["type"]) == wanted[settings.default_scope]
    trained = baseline["train"] if settings.default_scope == "mmdet" else baseline["train"]["generate"]
    assert trained == settings.train_dataloader.dataset.generate
    pictures = [settings[f"{part}_dataloader"].dataset.generate for part in ("train", "val", "test")]
    seeds = [set(range(one.seed, one.seed + one.count)) for one in pictures]
    assert len(set.union(*seeds)) == sum(map(len, seeds))


def test_every_small_training_is_a_config_and_its_data_are_registered():
    for name, training in quickstart.OTHERS.items():
        assert f"mmrepro quickstart vit_comer --config {name}" in papers.find_config("vit_comer", name).read_text()
        for data in training.data:
            assert registry.get(data).title
    assert config(CAMVID).test_evaluator[1].train.split == "train"
