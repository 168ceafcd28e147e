"""The quickstart's config and drawings; `nox -s quickstart` runs it whole."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mm_relation_detr import quickstart
from mmrepro import papers
from mmrepro.testing import load_config, tiny


def test_the_drawings_are_detections_relations_heads_and_refinement(tmp_path):
    config = tiny(load_config(papers.find_config("relation_detr", quickstart.CONFIG)))
    config.dump(tmp_path / "config.py")
    again = Config.fromfile(tmp_path / "config.py")
    init_default_scope(again.default_scope)
    torch.save({"state_dict": MODELS.build(again.model).state_dict()}, tmp_path / "weights.pth")
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    names = [path.stem.rsplit("_")[-1] for path in drawn]
    assert names[quickstart.DRAWN :] == ["relations", "heads", "refinement"]
    for path in drawn:
        with Image.open(path) as picture:
            picture.load()


def test_it_is_tested_beside_the_baseline_on_pictures_of_its_own():
    config = load_config(papers.find_config("relation_detr", quickstart.CONFIG))
    ours, baseline = config.test_evaluator
    assert baseline["type"] == "CommonPlacesMetric"
    assert ours["generate"] == baseline["generate"] == config.test_dataloader.dataset.generate
    pictures = [config[f"{part}_dataloader"].dataset.generate for part in ("train", "val", "test")]
    seeds = [set(range(one.seed, one.seed + one.count)) for one in pictures]
    assert len(set.union(*seeds)) == sum(map(len, seeds))
