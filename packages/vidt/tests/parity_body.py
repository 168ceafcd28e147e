"""The body's share of the stored case of single modules: sine encoding, RAM stage and merging."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.models.layers import SinePositionalEncoding

from mm_vidt.models.body_keys import swin_stage_rules
from mm_vidt.models.ram import RAMStage
from mmrepro.checkpoint import KeyRules


def modules(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run the encoding of a padding mask, and a stage without and with attention of tokens to patches."""
    config, size = manifest["config"], (manifest["config"]["H"], manifest["config"]["W"])
    official = {key: torch.from_numpy(value) for key, value in state.items() if key.startswith("stage.")}
    weights = KeyRules(swin_stage_rules("stage.", "")).forward(official)
    patches, det = torch.from_numpy(inputs["tokens"]).split([size[0] * size[1], config["num_det"]], 1)
    det_pos = 0.02 * torch.from_numpy(inputs["det_pos"])
    mask = torch.ones(config["B"], *size, dtype=torch.bool)
    for number, image in enumerate(mask):
        image[: size[0] - number, : size[1] - 2 * number] = False
    found = {"sine": SinePositionalEncoding(config["dim"] // 2, normalize=True)(mask).permute(0, 2, 3, 1)}
    for cross in (0, 1):
        stage = RAMStage(config["dim"], config["heads"], 7, bool(cross), [0.0, 0.0], 2 * config["dim"]).eval()
        stage.load_state_dict(weights)
        with torch.inference_mode():
            tokens = stage(patches, det, det_pos, size, mask)
            merged, merged_size = stage.downsample(tokens[0], size)
            found[f"stage_cross{cross}"] = torch.cat(tokens, 1)
            found[f"stage_cross{cross}_det"] = found[f"stage_cross{cross}"]
            found[f"merged_cross{cross}"] = torch.cat([merged, stage.downsample.merge_det(tokens[1])], 1)
    return {name: tensor.numpy() for name, tensor in found.items()} | {"merged_hw": np.array(merged_size)}
