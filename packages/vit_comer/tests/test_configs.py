"""The configs are the published training; the start fits the network; templates start from weights of other classes."""

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import HOOKS, MODELS, DefaultScope
from mmengine.runner import set_random_seed

import mm_vit_comer  # noqa: F401  registers everything
from mm_vit_comer.checkpoint import from_official
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.testing import load_config, load_keys, tiny

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs/vit_comer"
# drop path, position table's pixels, base rate, rate by depth, weight decay: official configs at b57f386
PUBLISHED = {
    "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco": (0.2, 592, 1e-4, 0.7, 0.05),
    "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco": (0.2, 592, 1e-4, 0.7, 0.05),
    "mask-rcnn_vit-comer-b_dinov2_fpn_8xb2-amp-1x_coco": (0.3, 592, 1e-4, 0.6, 0.05),
    "mask-rcnn_vit-comer-b_dinov2_fpn_8xb2-amp-3x_coco": (0.3, 592, 1e-4, 0.6, 0.05),
    "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco": (0.1, 224, 1e-4, None, 0.05),
    "mask-rcnn_vit-b_deit_fpn_8xb2-amp-3x_coco": (0.1, 224, 1e-4, None, 0.05),
    "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512": (0.1, 224, 1.2e-4, 0.95, 0.01),
    "vit-comer-s_deit_upernet_8xb2-amp-160k_ade20k-512x512": (0.2, 224, 6e-5, 0.95, 0.01),
    "vit-comer-b_deit_upernet_8xb2-amp-160k_ade20k-512x512": (0.3, 224, 6e-5, 0.95, 0.01),
}
# blocks with windows of 14 tokens; heads of the deformable attention, and width of its values; width in the MRFP;
# blocks that the learning rates fall over. None where a plain ViT has none, and where rates do not fall.
NETWORKS = {
    "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco": (8, 6, 384, 192, 12),
    "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco": (8, 6, 384, 192, 12),
    "mask-rcnn_vit-comer-b_dinov2_fpn_8xb2-amp-1x_coco": (8, 12, 384, 384, 12),
    "mask-rcnn_vit-comer-b_dinov2_fpn_8xb2-amp-3x_coco": (8, 12, 384, 384, 12),
    "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco": (8, None, None, None, None),
    "mask-rcnn_vit-b_deit_fpn_8xb2-amp-3x_coco": (8, None, None, None, None),
    "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512": (0, 6, 192, 1152, 12),
    "vit-comer-s_deit_upernet_8xb2-amp-160k_ade20k-512x512": (0, 6, 384, 576, 12),
    "vit-comer-b_deit_upernet_8xb2-amp-160k_ade20k-512x512": (0, 12, 384, 768, 12),
}
SEGMENTORS = sorted(path.stem for path in CONFIGS.glob("vit-comer-[tsbl]_*.py"))
MASK2FORMER = "vit-comer-l_beitv2_mask2former_8xb2-80k_coco-stuff164k-896x896"
COCO = sorted(path.stem for path in CONFIGS.glob("*8xb2*_coco.py"))
OWN = {
    "mask-rcnn_vit-comer_own-coco": ("roi_head.bbox_head.num_classes", "roi_head.mask_head.num_classes"),
    "upernet_vit-comer_own-folders": ("decode_head.num_classes", "auxiliary_head.num_classes"),
}


def config_of(name):
    return load_config(CONFIGS / f"{name}.py")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_config_has_the_official_settings(name):
    config = config_of(name)
    backbone, optimizer = config.model.backbone, config.optim_wrapper.optimizer
    found = (
        backbone.drop_path_rate,
        backbone.pretrain_size,
        optimizer.lr,
        config.optim_wrapper.paramwise_cfg.get("layer_decay_rate"),
        optimizer.weight_decay,
    )
    assert found == PUBLISHED[name]
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert config.optim_wrapper.loss_scale == dict(init_scale=512)
    assert config.train_dataloader.batch_size == 2
    assert config.randomness.seed == 2023


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_published_config_builds_the_official_network(name):
    config = config_of(name)
    with torch.device("meta"), DefaultScope.overwrite_default_scope(config.default_scope):
        backbone = MODELS.build(dict(config.model.backbone, init_cfg=None))
    windows = [getattr(block.attn, "window_size", None) for block in backbone.blocks]
    heads, values, width = None, None, None
    if hasattr(backbone, "interactions"):
        first = backbone.interactions[0]
        attention = first.cti_tov.attn
        heads, values, width = attention.num_heads, attention.value_proj.out_features, first.mrfp.fc1.out_features
    layers = config.optim_wrapper.paramwise_cfg.get("num_layers")
    assert (windows.count(14), heads, values, width, layers) == NETWORKS[name]
    if 14 in windows:
        assert [k for k, side in enumerate(windows) if side is None] == [2, 5, 8, 11]
        assert len(windows) == 12


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*8xb2*.py")), ids=lambda path: path.stem)
def test_pictures_are_normalised_and_filled_up_as_published(path):
    config = load_config(path)
    given = config.model.data_preprocessor
    with DefaultScope.overwrite_default_scope(config.default_scope):
        found = MODELS.build(given)
    assert found.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert found.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    assert given.bgr_to_rgb  # files are read blue first
    if config.default_scope == "mmseg":
        side = 896 if "l_beitv2" in path.stem else 512
        assert (found.size, found.pad_val, found.seg_pad_val) == ((side, side), 0, 255)
    else:
        assert (found.pad_size_divisor, found.pad_value) == (32, 0)
        assert found.pad_mask == (not path.stem.startswith(("atss", "gfl")))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*8xb2*.py")), ids=lambda path: path.stem)
def test_warm_ups_end_after_the_official_number_of_steps(path):
    first = load_config(path).param_scheduler[0]
    wanted = (0.001, 501) if path.stem.endswith("_coco") else (1e-6, 1501)
    assert (first.type, first.by_epoch, first.begin) == ("LinearLR", False, 0)
    assert (first.start_factor, first.end) == wanted


@pytest.mark.parametrize("name", SEGMENTORS)
def test_a_segmentor_cuts_and_slides_as_published(name):
    config = config_of(name)
    side, stride = (896, 512) if "l_beitv2" in name else (512, 341)
    assert config.model.test_cfg == dict(mode="slide", crop_size=(side, side), stride=(stride, stride))
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert steps["RandomResize"].scale == (4 * side, side)
    assert steps["RandomResize"].ratio_range == (0.5, 2.0)
    assert (steps["RandomCrop"].crop_size, steps["RandomCrop"].cat_max_ratio) == ((side, side), 0.75)
    shown = {step.type: step for step in config.test_dataloader.dataset.pipeline}
    assert (shown["Resize"].scale, shown["Resize"].keep_ratio) == ((4 * side, side), True)
    assert shown["ResizeToMultiple"].size_divisor == 32
    zero = [one["LoadAnnotations"].get("reduce_zero_label", False) for one in (steps, shown)]
    assert zero == ["ade20k" in name] * 2


@pytest.mark.parametrize("name", COCO)
def test_a_detector_is_tested_at_800_by_1333(name):
    (resize,) = [step for step in config_of(name).test_dataloader.dataset.pipeline if step.type == "Resize"]
    assert (resize.scale, resize.keep_ratio) == ((1333, 800), True)


def test_mask2former_trains_as_published():
    config = config_of(MASK2FORMER)
    wrapper, backbone = config.optim_wrapper, config.model.backbone
    assert (wrapper.type, wrapper.optimizer.lr, wrapper.optimizer.weight_decay) == ("OptimWrapper", 2e-5, 0.05)
    assert wrapper.paramwise_cfg == dict(num_layers=24, layer_decay_rate=0.9, head_low_lr=True)
    assert (backbone.drop_path_rate, backbone.img_size, backbone.with_cp) == (0.3, 896, True)
    assert (config.train_cfg.max_iters, config.param_scheduler[1].end) == (80_000, 80_001)


def test_the_official_mask2former_head_fits_the_config():
    config = config_of(MASK2FORMER)
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmseg"):
        head = MODELS.build(config.model.decode_head)
        keys = load_keys(ROOT / "tests/parity/keys_mask2former_head_l.json")["mask2former_head_l"]["state_dict"]
        state = {name: torch.empty(shape) for name, shape in keys.items()}
    ours = {f"decode_head.{name}": value.shape for name, value in head.state_dict().items()}
    assert from_official(state, target=ours).keys() == ours.keys()


@pytest.mark.parametrize("name", COCO)
def test_a_detector_on_coco_has_the_schedule_of_its_name(name):
    config = config_of(name)
    epochs, milestones = (12, [8, 11]) if "-1x_" in name else (36, [27, 33])
    assert config.train_cfg.max_epochs == epochs
    assert config.param_scheduler[1].milestones == milestones
    assert config.val_evaluator.metric == ("bbox" if name.startswith(("atss", "gfl")) else ["bbox", "segm"])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*8xb2*.py")), ids=lambda path: path.stem)
def test_the_start_fits_the_network(path):
    """Names say the start, and the position table is that of the file: 37 x 37 in DINOv2, 14 x 14 in the others."""
    backbone = load_config(path).model.backbone
    start = backbone.init_cfg.source
    size = {"dinov2": 592, "beit": None}.get(start, 224)
    assert backbone.get("pretrain_size") == size
    words = {"dinov2": "_dinov2_", "deit": ("_deit_", "_in1k_"), "augreg": "_in22k_", "beit": "_beitv2_"}[start]
    assert any(word in path.stem for word in ((words,) if isinstance(words, str) else words))
    letter = path.stem.split("_coco")[0].split("vit-")[1].removeprefix("comer-")[0]
    stated = {"dinov2": f"vit{letter}14", "augreg": "vit_large", "beit": "beitv2_large"}
    sizes = {"t": "tiny", "s": "small", "b": "base"}
    assert stated.get(start, f"deit_{sizes.get(letter)}_patch16") in backbone.init_cfg.checkpoint


def test_training_pictures_of_coco_are_resized_and_cut():
    pipeline = load_config(ROOT / "configs/_base_/datasets/coco_instance.py").train_dataloader.dataset.pipeline
    with DefaultScope.overwrite_default_scope("mmdet"):
        augment = Compose([dict(step) for step in pipeline[2:-1]])
    sizes = set()
    set_random_seed(0)
    for _ in range(24):
        picture = dict(
            img=np.zeros((90, 160, 3), np.uint8),
            img_shape=(90, 160),
            gt_bboxes=HorizontalBoxes(torch.tensor([[10.0, 10.0, 150.0, 80.0]])),
            gt_bboxes_labels=np.zeros(1, np.int64),
            gt_ignore_flags=np.zeros(1, bool),
            gt_masks=BitmapMasks(np.ones((1, 90, 160), np.uint8), 90, 160),
        )
        found = augment(picture)
        assert found["img"].shape[:2] == found["gt_masks"].masks.shape[1:] == tuple(found["img_shape"])
        sizes.add(found["img"].shape[:2])
    assert max(max(size) for size in sizes) <= 1024
    assert len(sizes) > 8


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_template_starts_from_weights_of_other_classes(name):
    config = tiny(config_of(name))
    other = copy.deepcopy(config.model)
    for path in OWN[name]:
        *parts, last = path.split(".")
        node = other
        for part in parts:
            node = node[part]
        node[last] += 2
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model, published = MODELS.build(config.model), MODELS.build(other)
    runner = SimpleNamespace(model=model, _resume=False, _train_loop=None, _val_loop=None, _test_loop=None)
    own = [hook for hook in config.custom_hooks if hook.type in ("ViTCoMerCheckpointHook", "StrictLoadHook")]
    checkpoint = {"state_dict": published.state_dict()}
    for hook in own:
        HOOKS.build(dict(hook)).after_load_checkpoint(runner, checkpoint)
    missing = model.state_dict().keys() - checkpoint["state_dict"].keys()
    assert missing
    assert all(any(word in key for word in ("fc_cls", "fc_reg", "conv_logits", "conv_seg")) for key in missing)
    del published.backbone.level_embed
    with pytest.raises(CheckpointMismatchError, match=r"backbone\.level_embed"):
        HOOKS.build(dict(own[1])).after_load_checkpoint(runner, {"state_dict": published.state_dict()})
