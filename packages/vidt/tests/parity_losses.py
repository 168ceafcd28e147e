"""The stored cases of matching and losses, of distillation, and of what comes out of the heads."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.dct_mask_coder import DCTMaskCoder, zigzag
from mm_vidt.models.detections import best_pairs, of_queries
from mm_vidt.models.distillation import token_matching_loss
from mm_vidt.models.mask_targets import mask_crops, padded_masks
from mm_vidt.models.matching import collect_targets
from mm_vidt.models.neck_free import ViDTNeckFreeHead
from mm_vidt.models.neck_free_criterion import NeckFreeCriterion
from mm_vidt.models.predictions import Predictions
from mm_vidt.models.vidt_head import ViDTHead

OURS = {
    "ce": "loss_cls",
    "bbox": "loss_bbox",
    "giou": "loss_iou",
    "iouaware": "loss_iou_aware",
    "vector": "loss_vector",
}
RAW_CLASSES = 91


def tensors(inputs: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}


def targets(given: dict[str, Tensor], images: int) -> tuple[list[InstanceData], list[dict]]:
    """Return the objects of the images and their metas as mmdet gives them."""
    sizes = [tuple(given[f"target{image}_size"].tolist()) for image in range(images)]
    canvas = tuple(max(sides) for sides in zip(*sizes, strict=True))
    instances = []
    for image, (height, width) in enumerate(sizes):
        one = InstanceData(bboxes=given[f"target{image}_xyxy_boxes"], labels=given[f"target{image}_labels"])
        if (packed := given.get(f"target{image}_masks_packed")) is not None:
            one.masks = BitmapMasks(np.unpackbits(packed.numpy(), axis=-1)[..., :width], height, width)
        instances.append(one)
    return instances, [dict(img_shape=size, batch_input_shape=canvas) for size in sizes]


def our_name(official: str) -> str:
    """Return our name of an official loss, whose suffix ``_0`` is that of an auxiliary level."""
    stem, _, level = official.rpartition("_")
    if not level.isdigit():
        stem, level = official, ""
    stem = OURS.get(stem.removeprefix("loss_"), stem)
    return f"d{level}.{stem}" if level else stem


def summary(losses: dict[str, Tensor], given: dict, inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the values without weights by the official order, their weighted sum, and the sizes of its gradients."""
    total = sum(value for name, value in losses.items() if "loss" in name)
    total.backward()
    values = [losses[our_name(name)].item() / given["weights"].get(name, 1) for name in given["loss_names"]]
    norms = [inputs[name].grad.norm().item() for name in given["grad_order"]]
    return {"loss_values": np.array(values), "total": total.detach().numpy(), "grad_norms": np.array(norms)}


def matches(
    criterion: ViDTCriterion | NeckFreeCriterion,
    logits: Tensor,
    boxes: Tensor,
    instances: list[InstanceData],
    metas: list[dict],
) -> list[list[np.ndarray]]:
    """Return the queries and targets ``(2, P)`` of each image of each level."""
    wanted = collect_targets(instances, metas)
    pairs = criterion.assigner.match(logits, boxes, wanted)
    starts = np.cumsum([0, *wanted.counts])
    found = []
    for images, *matched in zip(pairs.images, pairs.queries, pairs.targets, strict=True):
        parts = [[one[images == image].numpy() for one in matched] for image in range(len(instances))]
        found.append([np.stack([queries, places - starts[image]]) for image, (queries, places) in enumerate(parts)])
    return found


def losses(manifest: dict, state: dict, inputs: dict) -> dict:
    """The losses, matchings, targets of masks and gradients of given predictions."""
    given = tensors(inputs)
    names = manifest["given"]["grad_order"]
    for name in names:
        given[name].requires_grad_()
    predictions = Predictions(
        given["logits"], given["boxes"], given["vectors"], given["ious"], [given[name] for name in names[4:]]
    )
    instances, metas = targets(given, given["logits"].shape[1])
    norm = manifest["config"].get("no_vector_loss_norm", False)
    criterion = ViDTCriterion(RAW_CLASSES, labels="raw", no_vector_loss_norm=norm, log_errors=True)
    found = summary(criterion(predictions, instances, metas), manifest["given"], given)
    found |= {"grad_boxes": given["boxes"].grad[-1].numpy(), "grad_ious": given["ious"].grad[-1].numpy()}
    for level, of_level in enumerate(matches(criterion, given["logits"], given["boxes"], instances, metas)):
        found |= {f"match_level{level}_image{image}": pairs for image, pairs in enumerate(of_level)}
    crops = mask_crops(padded_masks(instances, metas, ""), torch.cat([one.bboxes for one in instances]))
    packed = np.packbits(crops.numpy(), axis=-1)
    return found | {"target_crops_packed": packed, "target_vectors": criterion.mask_coder.encode(crops).numpy()}


def distil_loss(manifest: dict, state: dict, inputs: dict) -> dict:
    """The distance of a student's tokens from a teacher's, and its gradients."""
    given = tensors(inputs)
    names = [*(f"s_patch{level}" for level in range(4)), "s_body", "s_neck"]
    for name in names:
        given[name].requires_grad_()
    student, teacher = (
        SimpleNamespace(
            memory=[given[f"{side}_patch{level}"] for level in range(4)],
            det=given[f"{side}_body"],
            hidden=given[f"{side}_neck"],
        )
        for side in "st"
    )
    loss = token_matching_loss(student, teacher)
    loss.backward()
    norms = np.array([given[name].grad.norm().item() for name in names])
    return {"loss_distil": loss.detach().numpy(), "grad_norms": norms}


def wo_neck_losses(manifest: dict, state: dict, inputs: dict) -> dict:
    """The losses, matching, gradients and detections of given predictions of the neck-free model."""
    given = tensors(inputs)
    logits, boxes = given["logits"].requires_grad_(), given["boxes"].requires_grad_()
    instances, metas = targets(given, len(logits))
    criterion = NeckFreeCriterion(RAW_CLASSES, log_errors=True)
    own = criterion(Predictions(logits[None], boxes[None]), instances, metas)
    found = summary(own, manifest["given"] | {"grad_order": ["logits", "boxes"]}, given)
    (matched,) = matches(criterion, logits[None], boxes[None], instances, metas)
    found |= {f"match_image{image}": pairs for image, pairs in enumerate(matched)}
    head = ViDTNeckFreeHead(RAW_CLASSES)
    sizes = [dict(ori_shape=tuple(size)) for size in given["orig_sizes"].tolist()]
    for image, one in enumerate(head.predict_by_feat(logits.detach(), boxes.detach(), sizes)):
        parts = {"scores": one.scores, "labels": one.labels, "boxes": one.bboxes}
        found |= {f"post{image}_{name}": value.numpy() for name, value in parts.items()}
    return found


def postprocess(manifest: dict, state: dict, inputs: dict) -> dict:
    """The best detections of given predictions, their masks, and the coder of masks alone."""
    given = tensors(inputs)
    head = ViDTHead(RAW_CLASSES, num_levels=1, with_vector=True)
    sizes = [dict(ori_shape=tuple(size)) for size in given["orig_sizes"].tolist()]
    scores, labels, queries = best_pairs(given["logits"], 100)
    boxes, vectors = (of_queries(given[name], queries) for name in ("boxes", "vectors"))
    found = {}
    for image, one in enumerate(head.predict_by_feat(scores, labels, boxes, vectors, sizes)):
        parts = {"scores": one.scores, "labels": one.labels, "boxes": one.bboxes}
        found |= {f"{name}{image}": value.numpy() for name, value in parts.items()}
        found[f"areas{image}"] = one.masks.sum((1, 2)).numpy()
        found[f"masks{image}_packed"] = np.packbits(one.masks[::5].numpy(), axis=-1)
    coder = DCTMaskCoder()
    maps = coder.decode(given["vectors"][0, ::10])
    found |= {"idct": maps[:, ::4, ::4], "idct_area": coder.binary(maps).sum((1, 2))}
    found["idct_threshold"] = (maps.amin((1, 2)) + maps.amax((1, 2))) / 2
    return found | {"zigzag_table": zigzag(128, 256), "zigzag_table_8_40": zigzag(8, 40)}
