"""The frozen parts' share of the stored cases: the ViT of DINOv2 and the DPT head, alone."""

from __future__ import annotations

import numpy as np
import torch

from mm_monodino_detr.models.dinov2_vit import DINOv2ViT
from mm_monodino_detr.models.dpt_head import DPTDepthHead

ARCHS = {"vits": "small", "vitb": "base", "vitl": "large"}


def vit_features(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run Depth Anything V2 on one image: positions, tokens of every level and depth."""
    vit, head = frozen_parts(manifest["config"]["encoder"], state, "pretrained.", "depth_head.")
    image = torch.from_numpy(inputs["image"])
    tokens, grid = vit.embed(image)
    found = {"tokens_in": tokens, "pos_embed": vit.position_embedding(grid)}
    levels = vit.levels(image)[0]
    found |= numbered_levels(levels)
    found["depth"] = head([level[:, 1:] for level in levels], grid)[:, 0]
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def frozen_parts(
    encoder: str, state: dict[str, np.ndarray], vit_prefix: str, head_prefix: str
) -> tuple[DINOv2ViT, DPTDepthHead]:
    """Build both parts from an official state dict.

    Args:
        encoder: the official name of the size.
        state: may hold more.
        vit_prefix: of the ViT's keys.
        head_prefix: of the head's keys.
    """
    with torch.device("meta"):  # every weight is in the state
        parts = DINOv2ViT(ARCHS[encoder]), DPTDepthHead(ARCHS[encoder])
    for part, prefix in zip(parts, (vit_prefix, head_prefix), strict=True):
        weights = {
            key.removeprefix(prefix): torch.from_numpy(array) for key, array in state.items() if key.startswith(prefix)
        }
        part.load_state_dict(weights, assign=True)
    return parts


def numbered_levels(levels: tuple[torch.Tensor, ...], prefix: str = "") -> dict[str, torch.Tensor]:
    """Name patches and class tokens of ``(B, 1 + N, C)`` as the cases do."""
    found = {f"{prefix}tokens_{number}": level[:, 1:] for number, level in enumerate(levels)}
    return found | {f"{prefix}cls_{number}": level[:, 0] for number, level in enumerate(levels)}
