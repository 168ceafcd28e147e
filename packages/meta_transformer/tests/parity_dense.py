"""The stored cases of the ViT-Adapter backbone, of segmentation and of detection."""

from __future__ import annotations

from math import isqrt

import numpy as np
import torch

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
    arch = {name: config[name] for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")}
    settings = {name: config[name] for name in SAME_NAME}
    settings |= dict(layer_scale="blocks.0.gamma1" in state, pretrain_size=16 * isqrt(state["pos_embed"].shape[1] - 1))
    settings["use_extra_extractor"] = any(".extra_extractors." in key for key in state)
    with torch.device("meta"):
        network = ViTAdapterMeta(arch, variant, **settings).eval()
    counts = {k: torch.tensor(0) for k in network.state_dict() if k.endswith("num_batches_tracked")}
    weights = {name: torch.from_numpy(array) for name, array in state.items()}
    network.load_state_dict(counts | weights, assign=True)
    with torch.inference_mode():
        maps = network(torch.from_numpy(inputs["image"]))
    return {f"f{level}": one.numpy() for level, one in enumerate(maps, 1)}
