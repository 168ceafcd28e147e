"""The stored cases of the ViT-Adapter backbone, of segmentation and of detection."""

from __future__ import annotations

import numpy as np
import torch

from mm_meta_transformer.checkpoints import adapter
from mm_meta_transformer.dense.vit_adapter import ViTAdapterMeta

SAME_NAME = (
    "drop_path_rate",
    "conv_inplane",
    "n_points",
    "deform_num_heads",
    "cffn_ratio",
    "deform_ratio",
    "interaction_indexes",
    "window_attn",
    "window_size",
)


def image_segmentation_vit_adapter(manifest: dict, state: dict, inputs: dict) -> dict[str, np.ndarray]:
    """Run the backbone of segmentation."""
    return _maps(manifest["config"], "seg", state, inputs)


def image_detection_vit_adapter(manifest: dict, state: dict, inputs: dict) -> dict[str, np.ndarray]:
    """Run the backbone of detection."""
    return _maps(manifest["config"], "det", state, inputs)


def _maps(config: dict, variant: str, state: dict, inputs: dict) -> dict[str, np.ndarray]:
    for name, only in (("patch_size", 16), ("with_cffn", True)):
        if config.get(name, only) != only:
            raise ValueError(f"{name}={config[name]!r} is not served; ours is {only}")
    settings = adapter.infer_config(state) | {"variant": variant, "window_attn": False}  # what a case does not say
    settings |= {name: config[name] for name in SAME_NAME if name in config}
    settings["arch"]["num_heads"] = config.get("num_heads", settings["arch"]["num_heads"])
    if config.get("add_vit_feature") is False:
        settings["add_vit_feature"] = None
    del settings["type"]
    with torch.device("meta"):
        network = ViTAdapterMeta(**settings).eval()
    counts = {k: torch.tensor(0) for k in network.state_dict() if k.endswith("num_batches_tracked")}
    weights = {name: torch.from_numpy(array) for name, array in state.items()}
    network.load_state_dict(counts | weights, assign=True)
    with torch.inference_mode():
        maps = network(torch.from_numpy(inputs["image"]))
    return {f"f{level}": one.numpy() for level, one in enumerate(maps, 1)}
