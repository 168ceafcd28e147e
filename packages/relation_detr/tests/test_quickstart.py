"""The quickstart's config and drawings; `nox -s quickstart` runs it whole."""

import torch
from mmdet.registry import METRICS
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mm_relation_detr import quickstart
from mmrepro import papers
from mmrepro.testing import load_config, tiny

NAMES = ("none", "disc", "none", "square", "none", "none", "none", "triangle")


def test_the_drawings_are_detections_relations_heads_and_refinement(tmp_path):
    config = tiny(load_config(papers.find_config("relation_detr", quickstart.CONFIG)))
    config.dump(tmp_path / "config.py")
    again = Config.fromfile(tmp_path / "config.py")
    init_default_scope(again.default_scope)
    torch.save({"state_dict": MODELS.build(again.model).state_dict()}, tmp_path / "weights.pth")
    log = tmp_path / "20250101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "step": 2}\n{"coco/bbox_mAP": 0.1, "step": 1}\n')
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    names = [path.stem.rsplit("_")[-1] for path in drawn]
    assert names == ["1", "2", "3", "relations", "heads", "refinement", "convergence"]
    assert sorted(drawn) == sorted((tmp_path / "figures").iterdir())
    for path in drawn:
        with Image.open(path) as picture:
            picture.load()


def test_measures_that_no_picture_has_are_left_out():
    """No generated object is large: its AP is -1 on both sides, and a model must beat the baseline in each measure."""
    config = load_config(papers.find_config("relation_detr", quickstart.CONFIG))
    init_default_scope(config.default_scope)
    nothing = dict(bboxes=torch.empty(0, 4), scores=torch.empty(0), labels=torch.empty(0, dtype=torch.long))
    for settings in config.test_evaluator:
        few = {name: dict(settings[name], count=8) for name in ("generate", "train") if name in settings}
        metric = METRICS.build({**settings, **few})
        metric.dataset_meta = {"classes": NAMES}
        metric.process({}, [dict(img_id=1, ori_shape=(96, 128), pred_instances=nothing)])
        found = metric.evaluate(1)
        assert {f"{metric.prefix}/bbox_mAP", f"{metric.prefix}/bbox_mAP_s"} <= found.keys()
        assert f"{metric.prefix}/bbox_mAP_l" not in found


def test_it_is_tested_beside_the_baseline_on_pictures_of_its_own():
    config = load_config(papers.find_config("relation_detr", quickstart.CONFIG))
    ours, baseline = config.test_evaluator
    assert baseline["type"] == "CommonPlacesMetric"
    assert ours["generate"] == baseline["generate"] == config.test_dataloader.dataset.generate
    pictures = [config[f"{part}_dataloader"].dataset.generate for part in ("train", "val", "test")]
    seeds = [set(range(one.seed, one.seed + one.count)) for one in pictures]
    assert len(set.union(*seeds)) == sum(map(len, seeds))
