"""The configs of dense prediction are the published training."""

from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[1] / "configs/meta_transformer"
# arch, drop path, windows, base rate, rate by depth, weight decay: official configs at b08a2be
PUBLISHED = {
    "upernet_meta-transformer-adapter_base_160k_ade20k-512x512": ("base", 0.3, None, 6e-5, 0.95, 0.01),
    "upernet_meta-transformer-adapter_large_160k_ade20k-512x512": ("large", 0.4, None, 6e-5, 0.95, 0.01),
    "mask-rcnn_meta-transformer-adapter_base_3x_coco": ("base", 0.3, None, 1e-4, None, 0.05),
    "mask-rcnn_meta-transformer-adapter_large_3x_coco": ("large", 0.4, None, 1e-4, 0.8, 0.05),
    "mask-rcnn_meta-transformer-adapter_base_lsj-25e_coco": ("base", 0.1, None, 1e-4, None, 0.05),
    "mask-rcnn_meta-transformer-adapter_base_lsj-50e_coco": ("base", 0.2, None, 1e-4, None, 0.05),
    "cascade-mask-rcnn_meta-transformer-adapter_base_3x_coco": ("base", 0.3, None, 1e-4, None, 0.05),
    "cascade-mask-rcnn_meta-transformer-adapter_large_3x_coco": ("large", 0.4, 56, 1e-4, None, 0.05),
    "htc++_meta-transformer-adapter_large_3x_coco": ("large", 0.4, None, 1e-4, 0.9, 0.05),
    "htc++_meta-transformer-adapter_large_3x-ms_coco": ("large", 0.4, None, 1e-4, 0.9, 0.05),
    "mask2former_meta-transformer-adapter_large_3x_coco-panoptic": ("large", 0.4, 56, 1e-4, 0.9, 0.05),
}
DEPTH = {"base": 12, "large": 24}


def config_of(name):
    """Return a config without importing what it names: mmdetection and mmsegmentation take long."""
    return Config.fromfile(CONFIGS / f"{name}.py", import_custom_modules=False)


def test_every_config_of_dense_prediction_is_here():
    assert {path.stem for path in CONFIGS.glob("*adapter*.py")} == set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_config_is_the_published_training(name):
    config = config_of(name)
    arch, drop_path, last_window, rate, decay, weight_decay = PUBLISHED[name]
    backbone, wrapper = config.model.backbone, config.optim_wrapper
    assert (backbone.arch, backbone.drop_path_rate) == (arch, drop_path)
    assert backbone.variant == ("seg" if name.startswith("upernet") else "det")
    assert set(backbone.get("window_size", [])) == ({14, last_window} if last_window else set())
    assert (wrapper.optimizer.lr, wrapper.optimizer.weight_decay) == (rate, weight_decay)
    paramwise = wrapper.paramwise_cfg
    assert paramwise.get("layer_decay_rate") == decay
    assert paramwise.get("num_layers") == (DEPTH[arch] if decay else None)
    plain = {} if decay else {key: dict(decay_mult=0.0) for key in ("level_embed", "pos_embed", "norm", "bias")}
    assert paramwise.get("custom_keys", {}) == plain
    assert arch in backbone.init_cfg.checkpoint
    upgraded = "lsj" in name
    assert (backbone.get("layer_scale", True), backbone.get("use_extra_extractor", True)) == 2 * (not upgraded,)


@pytest.mark.parametrize(("epochs", "name"), [(25, "lsj-25e"), (50, "lsj-50e"), (36, "3x")])
def test_schedules_end_with_the_training(epochs, name):
    config = config_of(f"mask-rcnn_meta-transformer-adapter_base_{name}_coco")
    last = config.param_scheduler[-1]
    assert config.train_cfg.max_epochs == epochs
    assert last.get("milestones", epochs) in (epochs, [27, 33])
    assert last.get("end", epochs) == last.get("T_max", epochs) == epochs
