"""The losses of all tasks: our own, and those of torch and mmpretrain that the configs name."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS


def losses(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return every loss of the case."""
    given = {name: torch.from_numpy(value) for name, value in inputs.items()}
    logits, seg, one = 2 * given["logits"], 2 * given["seg_logits"], given["logit1"]
    labels, seg_labels, mask, several = (given[name] for name in ("labels", "seg_labels", "seg_mask", "multihot"))
    alternating = torch.arange(len(one)).remainder(2).float()
    count = manifest["config"]["num_classes"]

    def built(**config: object) -> torch.nn.Module:
        return MODELS.build(config)

    binary = built(type="CrossEntropyLoss", use_sigmoid=True)
    return {
        "smooth_ce_02": built(type="SmoothCrossEntropy", smoothing=0.2)(logits, labels),
        "smooth_ce_03": built(type="SmoothCrossEntropy", smoothing=0.3)(logits, labels),
        "smooth_ce_seg": built(type="SmoothCrossEntropy", smoothing=0.2)(seg, seg_labels),
        "ce_ls00": built(type="CrossEntropyLoss")(logits, labels),
        "torch_ce_ls02": built(type="LabelSmoothLoss", label_smooth_val=0.2, num_classes=count)(logits, labels),
        "masked_ce_ls02": built(type="PointCrossEntropy", label_smoothing=0.2)(seg, seg_labels, mask),
        "poly1_focal": built(type="Poly1FocalLoss")(seg, seg_labels),
        "binary_bce_logits": binary(one[:, None], alternating[:, None]),
        "bce_multilabel": binary(logits, several),
        "l1_sum": F.l1_loss(one, alternating, reduction="sum"),
        "mse": F.mse_loss(one, alternating),
    }
