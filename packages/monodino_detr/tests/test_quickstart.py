"""The quickstart: what it trains on, its baseline, its drawings, and that the small network learns."""

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from PIL import Image

from mm_monodino_detr import common_places, quickstart
from mm_monodino_detr.common_places import CommonPlacesKittiMetric
from mm_monodino_detr.evaluation.kitti_files import KittiObjects, read_objects
from mmrepro import papers
from mmrepro.datasets.generated.kitti_scenes import kitti_folder
from mmrepro.testing import load_config, tiny

CLASSES = ("Pedestrian", "Car", "Cyclist")


def config():
    return load_config(papers.find_config("monodino_detr", quickstart.CONFIG))


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def test_the_drawings_are_pictures_depth_curves_and_losses(tmp_path):
    tiny(config()).dump(tmp_path / "config.py")
    small = Config.fromfile(tmp_path / "config.py")
    torch.save({"state_dict": MODELS.build(small.model).state_dict()}, tmp_path / "weights.pth")
    log = tmp_path / "20250101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    measure = small.default_hooks.checkpoint.save_best
    log.write_text(f'{{"loss": 2.0, "step": 1}}\n{{"loss": 1.0, "step": 2}}\n{{"{measure}": 0.1, "step": 2}}\n')
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    names = [path.stem.rsplit("_")[-1] for path in drawn]
    assert names == ["1", "2", "depth", "recall", "convergence"]  # of two scenes
    assert sorted(drawn) == sorted((tmp_path / "figures").iterdir())
    for path in drawn:
        with Image.open(path) as picture:
            picture.load()


def test_it_is_tested_beside_the_baseline_on_scenes_of_its_own():
    settings = config()
    ours, baseline = settings.test_evaluator
    assert (ours.type, baseline.type) == ("KittiMetric3D", "CommonPlacesKittiMetric")
    assert ours.evaluated == baseline.evaluated
    scenes = {part: settings[f"{part}_dataloader"].dataset.generate for part in ("train", "val", "test")}
    assert baseline.train == scenes["train"]
    assert settings.default_hooks.checkpoint.save_best == f"kitti/{ours.evaluated[0]}_AP3D_R40_moderate"
    assert [one.val for one in scenes.values()] == [0, scenes["val"].count, scenes["test"].count]
    seeds = [set(range(one.seed, one.seed + one.count)) for one in scenes.values()]
    assert len(set.union(*seeds)) == sum(map(len, seeds))


def metric_of(train, **options):
    metric = METRICS.build(dict(type="CommonPlacesKittiMetric", train=train, evaluated=("Car",), **options))
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def test_a_guess_is_the_mean_object_of_a_cell_of_the_training_scenes():
    train = dict(count=12, size=(320, 112), val=0)
    labels = sorted((kitti_folder(**train) / "training/label_2").iterdir())
    values = np.concatenate([one.values[one.names == "Car"] for one in map(read_objects, labels)])
    single = metric_of(train, grid=(1, 1)).guesses
    assert single["labels"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(single["bboxes"][1], values[:, 3:7].mean(0))
    np.testing.assert_allclose(single["bboxes_3d"][1, :6], values[:, 7:13].mean(0))
    assert single["scores"][1] == min(len(values) / 12, 1)
    many = metric_of(train, grid=(2, 3)).guesses
    cars = many["labels"] == 1
    assert cars.sum() == 6
    assert many["scores"][cars].sum() == pytest.approx(len(values) / 12)
    near, far = many["bboxes_3d"][cars][:, 5].reshape(2, 3)
    assert near.max() <= np.median(values[:, 12]) <= far.min()


def test_the_mean_heading_is_that_of_the_mean_direction():
    values = np.tile([0, 0, 0, 1, 1, 2, 2, 1.5, 1.6, 4, 3, 1.6, 10, 0.0], (2, 1))
    values[:, 13] = [3.0, -3.0]
    mean = common_places._mean_object(KittiObjects(np.array(["Car", "Car"]), values))
    assert abs(mean[13]) == pytest.approx(np.pi)
    assert mean[2] == pytest.approx(np.pi - np.arctan2(3, 10))


def test_guesses_are_evaluated_whatever_is_predicted():
    """With a cell for each training object all of them are guessed in every picture, and so are found in their own."""
    scenes = dict(count=8, size=(320, 112))
    metric = metric_of(dict(scenes, val=0), grid=(100, 1))
    read = DATASETS.build(
        dict(type="GeneratedKitti3DDataset", generate=dict(scenes, val=8), ann_file="ImageSets/val.txt", test_mode=True)
    )
    frames = [read.get_data_info(number) for number in range(len(read))]
    metric.process({}, [{"img_id": one["img_id"], "label_path": one["label_path"]} for one in frames])
    found = metric.evaluate(len(frames))
    assert list(found) == [
        f"baseline_kitti/Car_{measure}_R40_{level}"
        for measure in ("AP2D", "APBEV", "AP3D", "AOS")
        for level in ("easy", "moderate", "hard")
    ]
    assert 0 < found["baseline_kitti/Car_AP3D_R40_hard"] < 60


def test_a_class_that_is_never_seen_is_never_guessed():
    metric = CommonPlacesKittiMetric(dict(count=2, size=(320, 112), val=0))
    metric.dataset_meta = dict(classes=(*CLASSES, "Tram"))
    assert 3 not in metric.guesses["labels"]


def test_some_steps_on_a_batch_lower_the_loss():
    """Nothing of the small network is frozen: the ViT and the depth head learn, too."""
    settings = tiny(config())
    torch.manual_seed(0)
    model = MODELS.build(settings.model)
    model.init_weights()
    model.train()
    read = DATASETS.build(settings.train_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([read[0], read[1]]), True)
    before = {name: part.detach().clone() for name, part in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = sum(model.loss(batch["inputs"], batch["data_samples"]).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    after = dict(model.named_parameters())
    for name in ("backbone.patch_embed.proj.weight", "depth_head.scratch.output_conv1.weight"):
        assert not torch.equal(before[name], after[name])
