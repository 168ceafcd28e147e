"""The parity adapter's part for resized public weights, the BEiT trunk and Co-DETR's neck."""

from __future__ import annotations

import json
import re

import numpy as np
import torch

from mm_vit_comer.checkpoint import from_official
from mm_vit_comer.models.sfp_neck import SFPWithLateral
from mm_vit_comer.models.vit_comer import ViTCoMer
from mm_vit_comer.pretrained_resize import resize_relative_table
from mmrepro.dense.vit_resize import resize_grid, resize_patch_kernel

SAME_NAMES = (
    *("init_values", "drop_path_rate", "conv_inplane", "n_points", "deform_num_heads", "cffn_ratio", "deform_ratio"),
    *("cnn_feature_interaction", "window_attn", "window_size", "interaction_indexes"),
)
VERSIONS = {"new": "last", "old": "stages"}  # which maps of the ViT the official code adds


def pretrained_weights(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Resize a patch kernel, a BEiT table and position tables as the loader and the backbone do.

    Inputs and results are called by their sizes, and the case's notes and slices name the results.
    """
    del state
    text = json.dumps(manifest)
    given = {name: torch.from_numpy(value) for name, value in inputs.items()}
    kernel = next(value for name, value in given.items() if name.startswith("patch_embed"))
    table = next(value for name, value in given.items() if name.startswith("rel_table"))
    grids = {name: value for name, value in given.items() if name.startswith("pos_embed")}
    found = {}
    for name, size in re.findall(r"(patch_embed(\d+))\b", text):
        found[name] = resize_patch_kernel(kernel, int(size))
    for name, side in re.findall(r"(rel_table_window(\d+))\b", text):
        found[name] = resize_relative_table(table, int(side))
    for name, grid, height, width in re.findall(r"(pos_(\d+)_to_(\d+)x(\d+))\b", text):
        found[name] = resize_grid(grids[f"pos_embed{grid}"], (int(height), int(width)))
    smallest = min(grids.values(), key=lambda value: value.shape[1])  # BEiT's; the other is resized at run time
    for name, height, width in re.findall(r"(beit_pos_embed_(\d+)x(\d+))\b", text):
        found[name] = resize_grid(smallest, (int(height), int(width)))
    return {name: value.numpy() for name, value in found.items()}


@torch.no_grad()
def codetr_sfp_neck(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run the neck on the backbone's five maps."""
    config = manifest["config"]
    neck = SFPWithLateral(config["in_channels"][0], config["out_channels"])
    neck.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    outputs = neck([torch.from_numpy(inputs[name]) for name in ("x", "f1", "f2", "f3", "f4")])
    return {f"p{level}": output.numpy() for level, output in enumerate(outputs, 2)}


@torch.no_grad()
def codetr_beit_reduced(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run the BEiT backbone, and keep what each block and each interaction returns."""
    config = manifest["config"]
    version = config.get("version", "new")
    backbone = ViTCoMer(
        arch={name: config[name] for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")},
        variant="co-detr",
        add_vit_feature=VERSIONS[version] if config.get("add_vit_feature", True) else None,
        use_extra_cti=config.get("use_extra_extractor", True),
        pretrain_size=config["img_size"] if config["use_abs_pos_emb"] else None,
        use_cti_to_v=config["use_injector"],
        use_cti_to_c=config["use_extractor"],
        norm_cfg=dict(type="BN"),
        **{name: config[name] for name in SAME_NAMES},
    ).eval()
    official = {f"backbone.{key}": torch.from_numpy(value) for key, value in state.items()}
    ours = {key.removeprefix("backbone."): value for key, value in from_official(official).items()}
    missing = backbone.load_state_dict(ours, strict=False)
    if missing.unexpected_keys or any(not key.endswith("num_batches_tracked") for key in missing.missing_keys):
        raise ValueError(f"the case's weights do not fill the backbone: {missing}")
    found = {}
    for number, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda _, __, tokens, name=f"block{number}": found.update({name: tokens}))
    for number, interaction in enumerate(backbone.interactions):
        interaction.register_forward_hook(
            lambda _, __, both, name=f"interaction{number}": found.update({f"{name}_x": both[0], f"{name}_c": both[1]})
        )
    maps = backbone(torch.from_numpy(inputs["image"]))
    found |= dict(zip(("x", "f1", "f2", "f3", "f4"), maps, strict=True))
    if version == "old":  # the official code then leaves the ViT's map as tokens
        found["x"] = found["x"].flatten(2).transpose(1, 2)
    return {name: value.numpy() for name, value in found.items()}
