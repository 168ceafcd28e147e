"""The check of label maps before training: it stops a training of this package's configs before its first step."""

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from mm_vit_comer.datasets import LabelCheckHook
from mm_vit_comer.datasets.label_check_hook import label_pairs, leaves
from mm_vit_comer.datasets.label_rules import LabelError
from mmrepro import papers
from mmrepro.testing import load_config, tiny

CONFIG = "vit-comer_c64_upernet_1xb4-400_shapes"
CLASSES = ("ground", "disc", "square")


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c", "d"):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 3).save(tmp_path / kind / f"{name}.png")
    init_default_scope("mmseg")
    return tmp_path


def data(folder, **settings):
    prefix = dict(img_path="images", seg_map_path="masks")
    defaults = dict(data_root=str(folder), data_prefix=prefix, metainfo=dict(classes=CLASSES), serialize_data=False)
    return DATASETS.build(dict(type="FolderSegDataset", **{**defaults, **settings}))


def runner(train, val=None, num_classes=3):
    """Return what the hook reads of a runner."""

    def loop(one):
        return SimpleNamespace(dataloader=SimpleNamespace(dataset=one))

    head = SimpleNamespace(num_classes=num_classes, ignore_index=255)
    return SimpleNamespace(
        train_loop=loop(train),
        val_loop=val and loop(val),
        test_loop=loop(train),
        model=SimpleNamespace(decode_head=head),
    )


def test_labels_that_fit_pass(folder):
    LabelCheckHook().before_train(runner(data(folder), data(folder)))
    LabelCheckHook().before_test(runner(data(folder)))


def test_a_value_outside_the_classes_stops_with_its_file(folder):
    Image.fromarray(np.full((8, 8), 3, np.uint8)).save(folder / "masks" / "c.png")
    for check in ("before_train", "before_test"):
        with pytest.raises(LabelError, match=r"(training|test) data: label values(.|\n)*c\.png: 3, in 64 pixels of 1"):
            getattr(LabelCheckHook(), check)(runner(data(folder)))


def test_validation_data_are_looked_at_before_training_too(folder):
    good = data(folder)
    (folder / "masks" / "d.png").write_bytes(b"")
    with pytest.raises(LabelError, match=r"validation data: 1 of 4 label maps(.|\n)*d\.png: it cannot be read"):
        LabelCheckHook().before_train(runner(data(folder, indices=2), good))


def test_a_reduced_zero_label_that_is_a_class_stops(folder):
    with pytest.raises(LabelError, match="Fix: reduce_zero_label=False"):
        LabelCheckHook().before_train(runner(data(folder, reduce_zero_label=True)))


ROOT = Path(__file__).resolve().parents[1] / "configs/vit_comer"
SEGMENTORS = sorted(path for path in ROOT.glob("*.py") if path.stem.startswith(("vit-comer", "upernet")))


@pytest.mark.parametrize("path", SEGMENTORS, ids=lambda path: path.stem)
def test_every_config_of_segmentation_looks_at_its_labels(path):
    hooks = [hook for hook in load_config(path).custom_hooks if hook.type == "LabelCheckHook"]
    assert [hook.get("limit") for hook in hooks] == [None]


def test_ade20k_whose_zero_label_stays_stops(folder):
    config = load_config(ROOT / "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512.py")
    (hook,) = [HOOKS.build(hook) for hook in config.custom_hooks if hook.type == "LabelCheckHook"]
    for kind, values in (("images", 255), ("annotations", 151)):
        (folder / kind).mkdir(exist_ok=True)
        content = (np.arange(400) % values).astype(np.uint8).reshape(20, 20)
        Image.fromarray(content).save(folder / kind / ("ade.jpg" if kind == "images" else "ade.png"))
    prefix = dict(img_path="images", seg_map_path="annotations")
    given = {**config.train_dataloader.dataset, "data_root": str(folder), "data_prefix": prefix, "pipeline": []}
    hook.before_train(runner(DATASETS.build(given), num_classes=150))
    with pytest.raises(LabelError, match=r"are 0 to 149(.|\n)*ade\.png: 150, in 2 pixels(.|\n)*reduce_zero_label=True"):
        hook.before_train(runner(DATASETS.build({**given, "reduce_zero_label": False}), num_classes=150))


def test_a_head_with_other_classes_stops(folder):
    with pytest.raises(
        LabelError, match=r"training data has 3 classes, the model's decode_head 150. Fix: num_classes=3"
    ):
        LabelCheckHook().before_train(runner(data(folder), num_classes=150))


def test_data_sets_inside_others_are_looked_at(folder):
    one = dict(
        type="FolderSegDataset",
        data_root=str(folder),
        data_prefix=dict(img_path="images", seg_map_path="masks"),
        metainfo=dict(classes=CLASSES),
        serialize_data=False,
    )
    both = DATASETS.build(dict(type="ConcatDataset", datasets=[one, dict(type="RepeatDataset", times=3, dataset=one)]))
    assert [len(leaf) for leaf in leaves(both)] == [4, 4]


def test_a_limit_takes_files_from_everywhere(folder):
    pairs = label_pairs(data(folder), limit=2)
    assert [mask.rsplit("/")[-1] for _, mask in pairs] == ["a.png", "c.png"]
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(folder / "masks" / "b.png")
    LabelCheckHook(limit=2).before_train(runner(data(folder)))
    with pytest.raises(ValueError, match="limit=0"):
        LabelCheckHook(limit=0)


def test_pictures_without_public_labels_can_be_tested(folder):
    LabelCheckHook().before_test(runner(data(folder, data_prefix=dict(img_path="images"), test_mode=True)))


def test_a_training_stops_before_its_first_step(folder, tmp_path):
    config = tiny(load_config(papers.find_config("vit_comer", CONFIG)))
    (folder / "masks" / "b.png").unlink()
    Image.fromarray(np.full((9, 8), 1, np.uint8)).save(folder / "masks" / "b.png")
    pipeline = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset = dict(
        type="FolderSegDataset",
        data_root=str(folder),
        data_prefix=dict(img_path="images", seg_map_path="masks"),
        metainfo=dict(classes=(*CLASSES, "triangle")),
        pipeline=copy.deepcopy(pipeline),
    )
    config.work_dir, config.experiment_name = str(tmp_path / "work"), "check"
    one = Runner.from_cfg(config)
    with pytest.raises(LabelError, match=r"b\.png: it has 8 x 9 pixels, its picture .*b\.png 8 x 8"):
        one.train()
    assert one.iter == 0
