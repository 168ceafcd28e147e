"""The stored cases of matching and losses, and of what comes out of the head."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mm_monodino_detr.evaluation.kitti_files import result_text
from mm_monodino_detr.models import decoding
from mm_monodino_detr.models.criterion import MonoDETRCriterion
from mm_monodino_detr.models.depth_map_loss import depth_map_targets
from mm_monodino_detr.models.group_matching import Pairs, Targets, collect_targets
from mm_monodino_detr.models.predictions import Predictions

FOCAL_ALPHA = 0.25
OURS = {
    "loss_ce": "loss_cls",
    "loss_bbox": "loss_bbox",
    "loss_giou": "loss_iou",
    "loss_center": "loss_center",
    "loss_depth": "loss_depth",
    "loss_dim": "loss_dim",
    "loss_angle": "loss_angle",
    "loss_depth_map": "loss_depth_map",
    "class_error": "class_error",
    "cardinality_error": "cardinality_error",
}
OFFICIAL = {ours: theirs for theirs, ours in OURS.items()}
COSTS = {
    "cost_class": "cls_weight",
    "cost_bbox": "bbox_weight",
    "cost_3dcenter": "center_weight",
    "cost_giou": "iou_weight",
}
FIELDS = {"logits": "logits", "boxes": "boxes", "dims": "3d_dim", "depths": "depth", "angles": "angle"}


def tensors(inputs: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}


def objects(given: dict[str, Tensor]) -> list[InstanceData]:
    """Return the objects of each image as the data sets give them."""
    parts = {
        "labels": given["gt_labels"].long(),
        "boxes": given["gt_boxes"],
        "boxes_3d": given["gt_boxes_3d"],
        "depth": given["gt_depth"][:, 0],
        "size_3d": given["gt_size_3d"],
        "heading_bin": given["gt_heading_bin"][:, 0],
        "heading_res": given["gt_heading_res"][:, 0],
    }
    counts = given["gt_counts"].tolist()
    of_images = zip(*(part.split(counts) for part in parts.values()), strict=True)
    return [InstanceData(**dict(zip(parts, of_image, strict=True))) for of_image in of_images]


def criterion_settings(weights: dict[str, float], costs: dict[str, float], focal_alpha: float) -> dict:
    """Return the arguments of the criterion that an official configuration says, beside its sizes.

    A loss that has no weight, which is reported all the same, has 1 here: :func:`total` leaves it out.

    Args:
        weights: of the losses by their official names.
        costs: of the matching by their official names.
        focal_alpha: of the classes' loss and cost.

    Raises:
        ValueError: ``focal_alpha`` is not the published one.
    """
    if focal_alpha != FOCAL_ALPHA:
        raise ValueError(f"focal_alpha={focal_alpha} is not served: the criterion has {FOCAL_ALPHA} alone")
    return dict(
        official_depth_bins=True,
        log_errors=True,
        assigner={ours: costs[theirs] for theirs, ours in COSTS.items()},
        **{
            f"{ours.removeprefix('loss_')}_weight": weights.get(theirs) or 1
            for theirs, ours in OURS.items()
            if "loss" in theirs
        },
    )


def official_name(name: str) -> tuple[str, str]:
    """Return the official name of a loss and what the layer adds to it: of ``d0.loss_cls`` ``loss_ce`` and ``_0``."""
    layer, _, own = name.rpartition(".")
    return OFFICIAL[own], f"_{layer.removeprefix('d')}" if layer else ""


def total(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Return the sum of the weighted losses that have a weight."""
    return sum(value for name, value in losses.items() if weights.get(official_name(name)[0]))


def unweighted(losses: dict[str, Tensor], weights: dict[str, float]) -> dict[str, np.ndarray]:
    """Return losses without weights by their official names, and their weighted sum ``total``."""
    found = {"total": np.asarray(total(losses, weights).item())}
    for name, value in losses.items():
        theirs, layer = official_name(name)
        found[theirs + layer] = np.asarray(value.item() / (weights.get(theirs) or 1))
    return found


def matches(pairs: Pairs, targets: Targets) -> dict[str, np.ndarray]:
    """Return the matched images, queries and objects of each layer; an object's number is that in its image."""
    starts = torch.tensor(np.cumsum([0, *targets.counts[:-1]]))
    found = {}
    for layer, (images, queries, places) in enumerate(zip(*pairs, strict=True)):
        found |= {
            f"match{layer}_batch": images.numpy(),
            f"match{layer}_query": queries.numpy(),
            f"match{layer}_gt": (places - starts[images]).numpy(),
        }
    return found


def criterion(manifest: dict, state: dict, inputs: dict) -> dict:
    """The losses, matchings, targets of the depth map and gradients of given predictions."""
    given, config = tensors(inputs), manifest["config"]
    stacked = {
        ours: torch.stack([given[f"layer{layer}_pred_{name}"] for layer in range(config["layers"])]).requires_grad_()
        for ours, name in FIELDS.items()
    }
    map_logits = given["pred_depth_map_logits"].requires_grad_()
    predictions = Predictions(**stacked, depth_map_logits=map_logits, weighted_depth=map_logits[:, 0])
    instances = objects(given)
    weights = config["weight_dict"]
    settings = criterion_settings(weights, config["matcher"], config["focal_alpha"])
    losses_of = MonoDETRCriterion(config["num_classes"], config["group_num"], **settings).train(config["training"])
    losses = losses_of(predictions, instances, [{}] * len(instances))
    total(losses, weights).backward()
    found = unweighted(losses, weights)
    for ours, name in FIELDS.items():
        found[f"gradnorm_pred_{name}"] = stacked[ours].grad.flatten(1).norm(dim=1).numpy()
    found["gradnorm_depth_map_logits"] = map_logits.grad.norm().numpy()
    targets = collect_targets(instances)
    found |= matches(losses_of.assigner.match(predictions, targets, losses_of.groups), targets)
    bins, _ = depth_map_targets(
        targets.corners,
        targets.depths,
        targets.images,
        (len(map_logits), *map_logits.shape[2:]),
        losses_of.num_depth_bins,
        losses_of.depth_min,
        losses_of.depth_max,
    )
    return found | {"depth_bin_target": bins.numpy()}


def detection_rows(chosen: decoding.Chosen) -> Tensor:
    """Return candidates as the official code's detections.

    Returns:
        ``(B, K, 37)``: label, score, 2D box (cx, cy, w, h), depth, angles, size, projected centre, certainty.
    """
    start, end = chosen.corners[..., :2], chosen.corners[..., 2:]
    single = (chosen.labels[..., None].to(chosen.scores), chosen.scores[..., None])
    rest = (chosen.depths[..., None], chosen.angles, chosen.dims, chosen.centres, chosen.certainties[..., None])
    return torch.cat([*single, (start + end) / 2, end - start, *rest], -1)


def decode_rows(found: list[InstanceData]) -> Tensor:
    """Return detections as the official code's rows ``(K, 14)``: label, alpha, 2D box, 3D box, score."""
    return torch.cat(
        [
            torch.cat([one.labels[:, None], one.alphas[:, None], one.bboxes, one.bboxes_3d, one.scores[:, None]], -1)
            for one in found
        ]
    )


def decode(manifest: dict, state: dict, inputs: dict) -> dict:
    """The best candidates of given predictions, the detections, and their KITTI text."""
    given, config = tensors(inputs), manifest["config"]
    fields = {ours: given[f"pred_{name}"][None] for ours, name in FIELDS.items()}
    unused = given["pred_logits"].new_zeros(0)
    chosen = decoding.best_pairs(Predictions(**fields, depth_map_logits=unused, weighted_depth=unused), config["topk"])
    names = config["class_names"]
    found = decoding.decode(chosen, given["P2"], given["img_sizes"], config["threshold"], len(names))
    return {
        "detections": detection_rows(chosen).numpy(),
        "rows": decode_rows(found).numpy(),
        "counts": np.array([len(one) for one in found]),
        **{f"text/{image:06d}": result_text(one, names) for image, one in enumerate(found)},
    }
