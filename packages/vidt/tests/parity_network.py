"""The stored cases of the networks: detectors, the neck-free one, their gradients, and single modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mm_vidt.checkpoint import from_official, infer_config, to_official
from mm_vidt.models.body_output import BodyOutput
from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.epff import EPFF
from mm_vidt.models.matching import Targets, collect_targets
from mm_vidt.models.predictions import Predictions
from mm_vidt.models.vidt import padding_mask
from mmrepro.ops import MultiScaleDeformableAttention
from mmrepro.testing import SplitAdapter

PARTS = SplitAdapter(Path(__file__).resolve().parent, {"parity_body": ("modules",), "parity_losses": ("losses",)})
DET_POS_DIMS = 256


def forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a detector on images of different sizes: its body, memory, states, references and all predictions."""
    model = detector(manifest, state)
    images, samples = batch(inputs)
    with torch.inference_mode(), recorded(model) as found:
        tokens = model.forward_tokens(images, padding_mask(images, samples))
        predictions = model.bbox_head(tokens)
    found |= {f"memory{level}": one for level, one in enumerate(tokens.memory)}
    found |= {"tgt_proj": tokens.det, "query_pos_proj": tokens.query_pos, "hs": tokens.hidden}
    found["init_reference"] = tokens.reference.expand(len(images), -1, -1)
    refined = model.bbox_head.with_box_refine
    found["inter_references"] = (
        tokens.boxes if refined else found["init_reference"].expand(len(tokens.boxes), -1, -1, -1)
    )
    names = {"logits": "pred_logits", "boxes": "pred_boxes", "vectors": "pred_vectors", "ious": "pred_ious"}
    for name, theirs in names.items():
        if (one := getattr(predictions, name)) is not None:
            found |= {theirs: one[-1], f"aux_{theirs}": one[:-1]}
    found |= {f"token_logits{level}": one for level, one in enumerate(predictions.tokens or ())}
    return arrays(found) | {f"stats_{name}": statistics(one) for name, one in found.items()}


def gradients(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a detector with its losses, and what they say of its weights."""
    losses = PARTS.part("parity_losses")
    model, given = detector(manifest, state), manifest["given"]
    images, samples = batch(inputs)
    instances, metas = losses.targets(tensors(inputs), len(images))
    for sample, one in zip(samples, instances, strict=True):
        sample.gt_instances = one
    criterion = ViDTCriterion(model.bbox_head.num_classes, labels="raw", log_errors=True)
    model.bbox_head.criterion = criterion  # the official one logs errors
    found = model.loss(images, samples)
    total = sum(value for name, value in found.items() if "loss" in name)
    total.backward()
    values = [found[losses.our_name(name)].item() / given["weights"].get(name, 1) for name in given["loss_names"]]
    of_ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    of_theirs = to_official(of_ours, unused=False)
    with torch.inference_mode():
        predictions = model.bbox_head(model.forward_tokens(images, padding_mask(images, samples)))
    return matches(criterion, predictions, collect_targets(instances, metas)) | {
        "loss_values": np.array(values),
        "total": total.item(),
        "grad_norms": np.array([of_theirs[name].norm().item() for name in given["grad_names"]]),
        "grad_total_norm": torch.stack([one.norm() for one in of_ours.values()]).norm().item(),
        "params_without_grad": [name for name in manifest["state_dict"] if name not in of_theirs],
    }


def wo_neck_forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run the neck-free detector: its body and its predictions."""
    model = detector(manifest, state)
    images, samples = batch(inputs)
    with torch.inference_mode(), recorded(model) as found:
        logits, boxes = model(images, samples)
    found |= {"backbone_out3": found["backbone_out2"], "pred_logits": logits[0], "pred_boxes": boxes[0]}
    return arrays(found) | {f"stats_{name}": statistics(one) for name, one in found.items()}


def modules(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run single modules: those of the body, deformable attention at points and in boxes, and the fusion of maps."""
    found = PARTS.run(manifest, state, inputs)
    weights, given = tensors(state), tensors(inputs)
    shapes = torch.tensor(manifest["config"]["shapes"])
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    attention = MultiScaleDeformableAttention(256, num_heads=8, num_levels=4, num_points=4)
    attention.load_state_dict(below(weights, "msda."))
    padding = torch.zeros(given["value"].shape[:2], dtype=torch.bool)
    padding[-1, 3:9] = padding[-1, -5:] = True
    neck = EPFF([given[f"feat{level}"].size(1) for level in range(4)])
    kept = below(weights, "epff.multi_scaler.")
    neck.load_state_dict({name: kept[name] for name in neck.state_dict()})  # of the coarsest level a part is not used
    with torch.inference_mode():
        for coordinates in (2, 4):
            reference = given["ref"][..., :coordinates]
            value = attention.attend(given["query"], given["value"], reference, shapes, starts, padding)
            found[f"msda_ref{coordinates}"] = value.numpy()
        fused = neck([given[f"feat{level}"] for level in range(4)])
    return found | {f"epff_out{level}": one.numpy() for level, one in enumerate(fused)}


def detector(manifest: dict, state: dict[str, np.ndarray]) -> nn.Module:
    """Build the detector of official weights, without drawing any before."""
    official = tensors(state)
    settings = infer_config(official)["model"]
    if cross := manifest["config"].get("cross_indices"):  # weights do not say in which stages tokens see patches
        settings["backbone"]["cross_stages"] = cross
    with torch.device("meta"):
        model = MODELS.build(settings)
    model.load_state_dict(from_official(official, model), assign=True)
    return model.eval()


def matches(criterion: ViDTCriterion, predictions: Predictions, targets: Targets) -> dict[str, np.ndarray]:
    """Return which query of an image has which of its targets, ``(2, P)`` for each level and image."""
    pairs = criterion.assigner.match(predictions.logits, predictions.boxes, targets)
    starts, found = np.cumsum([0, *targets.counts]), {}
    for level in range(len(pairs.images)):
        for image in range(len(targets.counts)):
            here = pairs.images[level] == image
            matched = [pairs.queries[level][here], pairs.targets[level][here] - starts[image]]
            found[f"match_level{level}_image{image}"] = torch.stack(matched).numpy()
    return found


@contextmanager
def recorded(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that fills with what a body computes, by the names of a case."""
    found: dict[str, Tensor] = {}

    def keep_patches(_module: nn.Module, _inputs: tuple, output: tuple[Tensor, tuple[int, int]]) -> None:
        patches, size = output
        found["patch_embed"] = patches.transpose(1, 2).unflatten(2, size)

    def keep_stage(stage: int):
        def hook(_module: nn.Module, _inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
            patches, det = output  # the latter are one set while they are the same for all images
            found[f"stage{stage}_tokens"] = torch.cat([patches, det.expand(len(patches), -1, -1)], 1)

        return hook

    def keep_body(_module: nn.Module, _inputs: tuple, output: BodyOutput) -> None:
        found.update({f"backbone_out{level}": one for level, one in enumerate(output.maps)})
        found.update(backbone_det=output.det.transpose(1, 2), backbone_det_pos=output.det_pos.transpose(1, 2))

    hooks = [model.backbone.register_forward_hook(keep_body)]
    if hasattr(model.backbone, "stages"):  # CoaT names its parts otherwise
        hooks.append(model.backbone.patch_embed.register_forward_hook(keep_patches))
        hooks += [stage.register_forward_hook(keep_stage(number)) for number, stage in enumerate(model.backbone.stages)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def batch(inputs: dict[str, np.ndarray]) -> tuple[Tensor, list[DetDataSample]]:
    """Return images that are zero outside their sizes, and samples with these."""
    images, samples = torch.from_numpy(inputs["image"].copy()), []
    for image, size in zip(images, inputs["sizes"].tolist(), strict=True):
        image[:, size[0] :] = 0
        image[:, :, size[1] :] = 0
        samples.append(DetDataSample(metainfo={"img_shape": tuple(size), "batch_input_shape": images.shape[-2:]}))
    return images, samples


def statistics(one: Tensor) -> np.ndarray:
    """Return mean, deviation, largest magnitude and norm of a whole tensor."""
    exact = one.double()
    return torch.stack([exact.mean(), exact.std(), exact.abs().max(), exact.norm()]).detach().numpy()


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}


def tensors(of_case: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(np.array(array)) for name, array in of_case.items()}


def arrays(found: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as arrays."""
    return {name: one.detach().numpy() for name, one in found.items()}
