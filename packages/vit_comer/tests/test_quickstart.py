"""The quickstart: its drawings, and a test on pictures of its own beside the baseline."""

import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mm_vit_comer import quickstart
from mmrepro import papers
from mmrepro.testing import load_config, tiny


def config():
    return load_config(papers.find_config("vit_comer", quickstart.CONFIG))


def test_every_drawing_is_a_whole_picture(tmp_path):
    small = tiny(config())
    small.dump(tmp_path / "config.py")
    init_default_scope(small.default_scope)
    torch.save({"state_dict": MODELS.build(small.model).state_dict()}, tmp_path / "weights.pth")
    log = tmp_path / "20250101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "step": 2}\n{"mIoU": 40.0, "step": 2}\n')
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    names = [path.stem.rsplit("_")[-1] for path in drawn]
    assert names == ["1", "2", "3", "features", "interactions", "samples", "convergence"]
    for path in drawn:
        with Image.open(path) as picture:
            picture.load()


def test_it_is_tested_beside_the_baseline_on_pictures_of_its_own():
    settings = config()
    ours, baseline = settings.test_evaluator
    assert (ours["type"], baseline["type"]) == ("IoUMetric", "CommonClassMetric")
    assert baseline["train"]["generate"] == settings.train_dataloader.dataset.generate
    pictures = [settings[f"{part}_dataloader"].dataset.generate for part in ("train", "val", "test")]
    seeds = [set(range(one.seed, one.seed + one.count)) for one in pictures]
    assert len(set.union(*seeds)) == sum(map(len, seeds))
