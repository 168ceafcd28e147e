"""The parity adapter's part for data, protocol and optimiser."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mm_monodino_detr.evaluation.ap_table import official_text
from mm_monodino_detr.evaluation.kitti_ap import DISTANCES, STRICT, Curves, KittiEvaluation
from mm_monodino_detr.evaluation.kitti_files import KittiObjects, parse_objects

OFFICIAL_NAMES = {"2D": ("image", "bbox"), "BEV": ("bev", "bev"), "3D": ("3d", "3d"), "AOS": ("aos", "aos")}
"""Our measures as the official evaluator's results and its tables call them."""


def kitti_ap(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Evaluate label and detection texts by frame: averages and tables of each class, and the distances of cars."""
    labels, detections = manifest["given"]["labels"], manifest["given"]["detections"]
    frames = sorted(labels)
    evaluation = KittiEvaluation(
        [_labels(labels[frame], frame) for frame in frames],
        [parse_objects(detections.get(frame, ""), frame, scored=True, classes=None) for frame in frames],
    )
    found: dict = {}
    for name in manifest["config"]["classes"]:
        curves = evaluation.curves(name)
        found |= _official(curves, name)
        found[f"ap/{name}/returned_mAP3d_R40_moderate"] = curves.average("3D")[1]
        for measure, values in curves.measures().items():  # without angles there is no AOS
            found[f"{name}_precision_{OFFICIAL_NAMES[measure][1]}"] = values
    return found | _official(evaluation.curves("Car", DISTANCES), "Car_distance")


def _labels(text: str, frame: str) -> KittiObjects:
    """Return labels, read as results with a score: the official evaluator takes sizes that no training may have."""
    lines = [" ".join([*line.split()[:15], "0"]) for line in text.splitlines() if line.strip()]
    return parse_objects("\n".join(lines), frame, scored=True, classes=None)


def _official(curves: Curves, place: str) -> dict:
    """Return averages of the strict overlaps and the table, by the case's names."""
    found: dict = {f"text/{place}": official_text(curves)}
    for measure in curves.measures():
        name, _ = OFFICIAL_NAMES[measure]
        for points, end in ((11, ""), (40, "_R40")):
            for level, value in zip(curves.levels, curves.average(measure, points, STRICT), strict=True):
                found[f"ap/{place}/{curves.name}_{name}_{level}{end}"] = value
    return found


def adamw(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Take steps of the optimiser and its groups; the gradients of step s are drawn ones times 10**-s."""
    config = manifest["config"]
    module = nn.Module()
    for name, values in state.items():
        *path, last = name.split(".")
        part = module
        for child in path:
            if not hasattr(part, child):
                part.add_module(child, nn.Module())
            part = part.get_submodule(child)
        part.register_parameter(last, nn.Parameter(torch.from_numpy(values.copy())))
    settings = {name: config[name] for name in ("lr", "weight_decay", "betas", "eps")}
    wrapper = dict(
        type="OptimWrapper", constructor="MonoDINOParamGroups", optimizer=dict(type="LegacyAdamW", **settings)
    )
    optimizer = build_optim_wrapper(module, wrapper).optimizer
    for step in range(config["steps"]):
        for name, parameter in module.named_parameters():
            parameter.grad = torch.from_numpy(inputs[f"grad{step}_{name}"] * np.float32(10.0**-step))
        optimizer.step()
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}
