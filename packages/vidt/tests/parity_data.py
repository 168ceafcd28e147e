"""The parity adapter's part for data and protocol: what is resized, evaluated and optimised.

Sizes, means, optimiser and schedule are those of the shipped configs; a case replaces what it sets. Not this package's
work alone: ``*_area`` of ``data_pipeline`` are computed here, for no model takes areas, as the given areas times the
ratios of the boxes, and of a crop as those of its boxes, so they show no fault that boxes do not show; and the
parameters of ``optimizer`` that the package does not build are put into its groups by their names.
"""

from __future__ import annotations

import copy
import json
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.datasets.transforms import RandomCrop
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from mmengine.structures import InstanceData

from mm_vidt.checkpoint import from_official, target
from mm_vidt.datasets.vidt_resize import resized_size
from mm_vidt.optimizers import GROUPS, group_of
from mmrepro.detection.detr_coco import kept_boxes
from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.testing import load_config, load_keys

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "configs" / "vidt" / "vidt_swin-nano_8xb2-50e_coco.py"
OFFICIAL_GROUPS = ("head (weight decay 1e-4)", "backbone, no decay", "backbone, decay 1e-4")
NUMEL = ("head", "backbone_no_decay", "backbone_decay")


@cache
def shipped() -> Config:
    return load_config(CONFIG)


def data_pipeline(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Sizes; the test's picture; a flipped one; and one that is resized, cropped and resized again.

    The crop, which training draws, is given; ``crop_region`` is what was cut out then.
    """
    del state
    rows = [row[:4] for row in stored("resize_table").tolist()]
    sizes = [resized_size(height, width, side, None if most < 0 else most)[::-1] for width, height, side, most in rows]
    found = {"resize_table": np.array([(*row, *size) for row, size in zip(rows, sizes, strict=True)])}
    (resize,) = (step for step in shipped().test_dataloader.dataset.pipeline if step["type"] == "ViDTResize")
    found |= packed("val", inputs["picture"], manifest, [dict(resize)])
    found |= packed("flip", inputs["picture"], manifest, [dict(type="RandomFlip", prob=1.0)])
    (augment,) = (step for step in shipped().train_dataloader.dataset.pipeline if step["type"] == "FlipResizeCrop")
    top, left, height, width = stored("crop_region").tolist()
    drawn = dict(augment, short_sides=[480], first_short_sides=[400], crop=(1, 1000), flip_prob=0.0)
    crop = RandomCrop._crop_data

    def noted(*arguments: object) -> dict:
        cropped = crop(*arguments)
        x, y = cropped["homography_matrix"][:2, 2]  # before the crop there is no translation
        found["crop_region"] = np.array([-y, -x, *cropped["img_shape"]])
        return cropped

    with (
        mock.patch("mmcv.transforms.RandomChoice.random_pipeline_index", return_value=1),
        mock.patch.object(RandomCrop, "_get_crop_size", return_value=(height, width)),
        mock.patch.object(RandomCrop, "_rand_offset", return_value=(top, left)),
        mock.patch.object(RandomCrop, "_crop_data", noted),
    ):
        found |= packed("crop", inputs["picture"], manifest, [drawn])
    return found


def packed(name: str, picture: np.ndarray, manifest: dict, steps: list[dict]) -> dict:
    """Run steps on the case's picture and return what the model gets of it."""
    height, width = picture.shape[:2]
    kept = kept_boxes(manifest["given"]["annotations"], width, height)
    sample = dict(
        img=np.ascontiguousarray(picture[..., ::-1]),
        img_shape=(height, width),
        ori_shape=(height, width),
        instances=[
            dict(bbox=box, bbox_label=one["category_id"], ignore_flag=0, mask=one["segmentation"]) for one, box in kept
        ],
    )
    load = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
    results = Compose([dict(step, type=f"mmdet.{step['type']}") for step in (load, *steps)])(sample)
    packed_sample = DetDataSample(metainfo=dict(img_shape=results["img_shape"]))
    pixels = torch.from_numpy(np.ascontiguousarray(results["img"].transpose(2, 0, 1)))
    image = MODELS.build(shipped().model.data_preprocessor)(dict(inputs=[pixels], data_samples=[packed_sample]))
    image, (h, w) = image["inputs"][0], results["img_shape"]
    boxes = results["gt_bboxes"].tensor
    relative = bbox_xyxy_to_cxcywh(boxes) / boxes.new_tensor([w, h, w, h])
    sides = boxes[:, 2:] - boxes[:, :2]
    given = np.array([one["area"] for one, _ in kept]) * np.prod(results.get("scale_factor", 1))
    masks = results["gt_masks"].masks
    return {
        f"{name}_size": np.array([h, w]),
        f"{name}_orig_size": np.array([height, width]),
        f"{name}_img_sub": image[:, ::16, ::16].numpy(),
        f"{name}_img_stats": np.array([image.mean().item(), image.std().item(), h, w]),
        f"{name}_boxes": relative.numpy(),
        f"{name}_xyxy_boxes": boxes.numpy(),
        f"{name}_labels": results["gt_bboxes_labels"],
        f"{name}_area": sides.prod(1).numpy() if name == "crop" else given,
        f"{name}_mask_areas": masks.sum((1, 2)),
        f"{name}_mask_sub": masks[:, ::8, ::8],
    }


def stored(name: str) -> np.ndarray:
    """Return an array that is given with the results of ``data_pipeline`` alone."""
    with np.load(HERE / "parity" / "data_pipeline.npz") as arrays:
        return arrays[f"expected:{name}"]


def coco_eval(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Evaluate the stored boxes and masks of all images, one sample each."""
    del state
    content = manifest["given"]["ground_truth"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "annotations.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        metric = DetrCocoMetric(str(file), metric=["bbox", "segm"])
        for image in content["images"]:
            given = {
                name: inputs[f"pred{image['id']}_{name}"] for name in ("boxes", "scores", "labels", "masks_packed")
            }
            masks = np.unpackbits(given["masks_packed"], axis=-1)[..., : image["width"]].astype(bool)
            sample = DetDataSample(metainfo=dict(img_id=image["id"], ori_shape=(image["height"], image["width"])))
            sample.pred_instances = InstanceData(
                bboxes=torch.from_numpy(given["boxes"]),
                scores=torch.from_numpy(given["scores"]),
                labels=torch.from_numpy(given["labels"]),
                masks=torch.from_numpy(masks),
            )
            metric.process({}, [sample.to_dict()])
        values = list(metric.evaluate(len(content["images"])).values())
    return {"bbox_stats": np.array(values[:12]), "segm_stats": np.array(values[12:])}


def optimizer(manifest: dict, state: dict, inputs: dict) -> dict:
    """Build the shipped config's optimiser of the official network, and step its schedule.

    Each official tensor is filled with its own number, by which the converter's results are known.
    """
    del manifest, state, inputs
    listed = load_keys(HERE / "parity" / "keys_vidt_swin_nano.json")["vidt_swin_nano"]
    aliases = listed["aliases"]
    shapes = {
        key: shape
        for key, shape in listed["state_dict"].items()
        if key not in aliases and not key.endswith("relative_position_index")
    }
    marked = {key: torch.full(shape, float(number)) for number, (key, shape) in enumerate(shapes.items())}
    marked |= {key: marked[first] for key, first in aliases.items()}
    names = list(shapes)
    official = {name: names[int(tensor.flatten()[0])] for name, tensor in from_official(marked).items()}
    model = target(marked)
    groups = build_optim_wrapper(model, copy.deepcopy(shipped().optim_wrapper)).optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [1e-4, 0.0, 1e-4]
    name_of = {parameter: official.pop(name) for name, parameter in model.named_parameters()}
    members = {
        group: [name_of[parameter] for parameter in one["params"]] for group, one in zip(GROUPS, groups, strict=True)
    }
    for name in set(shapes) - set(name_of.values()):
        members[group_of(name, len(shapes[name]))].append(name)
    found = {}
    for group, title, sizes in zip(GROUPS, OFFICIAL_GROUPS, NUMEL, strict=True):
        own = sorted(members[group], key=names.index)
        found[f"groups/{title}"] = own if title == "backbone, no decay" else np.array(len(own))
        found[f"numel/{sizes}"] = np.array(sum(int(np.prod(shapes[name])) for name in own))
    (rate,) = {group["lr"] for group in groups}
    found["lr_used_in_epoch"] = np.array(
        learning_rates(shipped().param_scheduler, rate, shipped().train_cfg.max_epochs)
    )
    return found


def learning_rates(schedules: list[dict], rate: float, epochs: int) -> list[float]:
    """Step a run's schedules as mmengine's hook does, and return the rate used in each epoch."""
    adamw = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    built = [PARAM_SCHEDULERS.build(dict(one), default_args=dict(optimizer=adamw)) for one in schedules]
    used = []
    for _ in range(epochs):
        used.append(adamw.param_groups[0]["lr"])
        adamw.step()
        for one in built:
            one.step()
    return used
