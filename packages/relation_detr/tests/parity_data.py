"""The parity adapter's part for data and protocol: what is read, resized, optimised and evaluated.

Means, sizes, augmentation, optimiser and schedules are those of the shipped configs; a case replaces what it sets.

Of what is compared, these arrays are not this package's work alone: ``area`` and ``iscrowd`` of ``coco_dataset`` are
the given ones of the boxes that the data set keeps; its ``aspect_groups_for_train_indices`` are our groups in the
official order, which is a mistake that the package does not make; ``flip_boxes`` and ``crop_boxes`` of
``train_transforms`` are mmdet's arithmetic, for mmdet's crop drops boxes earlier than the case; and the first three
columns of its ``size_table`` are the case's own.
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
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from mmengine.structures import InstanceData
from PIL import Image

from mm_relation_detr import optimizers, warm_up  # noqa: F401  register
from mm_relation_detr.checkpoint import official_names, target
from mm_relation_detr.datasets import detr_augmentation  # noqa: F401  registers
from mm_relation_detr.datasets.aspect_ratio import aspect_group
from mm_relation_detr.datasets.torch_resize import resized_size
from mm_relation_detr.evaluation.macroscopic_correlation import correlations
from mm_relation_detr.models import decoder, encoder, raw_swin, relation_detr, relation_head  # noqa: F401  register
from mmrepro.detection.detr_coco import DetrCocoDataset, kept_boxes
from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.testing import load_config, load_keys

HERE = Path(__file__).resolve().parent
LONGEST = 1333
STEPS = (0, 1, 2, 10, 25, 49, 79, 500, 999, 1000, 1001, 1499)  # of an epoch, in the lists of learning rates
R50 = "relation-detr_r50-4scale_2xb5-12e_coco"
SIZES = {"sizes_800_1333": R50, "sizes_1200_2000": "relation-detr_focal-l-5scale_2xb5-24e_coco_o365-pre"}


@cache
def shipped(name: str = R50) -> Config:
    return load_config(HERE.parent / "configs" / "relation_detr" / f"{name}.py")


def transform(loader: str, kind: str, config: str = R50, **changes: object) -> dict:
    """Return a step of a shipped config's pipeline, with a case's changes."""
    (step,) = (step for step in shipped(config)[loader].dataset.pipeline if step["type"] == kind)
    return dict(step, **changes, type=f"mmdet.{kind}")


def coco_dataset(manifest: dict, state: dict, inputs: dict) -> dict:
    """Write the case's file and pictures, and read them as training and testing do."""
    del state, inputs
    content = manifest["given"]["coco"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = root / "annotations.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        for image in content["images"]:
            Image.new("RGB", (image["width"], image["height"])).save(root / image["file_name"])
        training, testing = (
            DetrCocoDataset(str(file), data_prefix=dict(img=folder), test_mode=test) for test in (False, True)
        )
        entries = [testing.get_data_info(index) for index in range(len(testing))]
        kept = [training.get_data_info(index)["img_id"] for index in range(len(training))]
    # The official list takes the shapes of the first images of the unfiltered one.
    groups = [aspect_group(entry["width"], entry["height"]) for entry in entries[: len(kept)]]
    found = {
        "kept_image_ids_train": np.array(kept),
        "image_ids_order": np.array([entry["img_id"] for entry in entries]),
        "aspect_groups_for_train_indices": np.array(groups),
    }
    for entry in entries:
        annotations = [one for one in content["annotations"] if one["image_id"] == entry["img_id"]]
        used = [annotation for annotation, _ in kept_boxes(annotations, entry["width"], entry["height"])]
        listed = dict(
            boxes=[instance["bbox"] for instance in entry["instances"]],
            labels=[instance["bbox_label"] for instance in entry["instances"]],
            area=[annotation["area"] for annotation in used],
            iscrowd=[annotation["iscrowd"] for annotation in used],
        )
        # An empty list is compared as a list.
        found |= {f"targets/{entry['img_id']}/{key}": np.array(value) if value else [] for key, value in listed.items()}
    return found


def coco_eval(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Evaluate the stored detections of all images, one sample each."""
    del state
    content = manifest["given"]["coco"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "annotations.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        metric = DetrCocoMetric(str(file))
        for image in content["images"]:
            given = {name: torch.from_numpy(inputs[f"{name}_{image['id']}"]) for name in ("boxes", "scores", "labels")}
            sample = DetDataSample(metainfo=dict(img_id=image["id"], ori_shape=(image["height"], image["width"])))
            sample.pred_instances = InstanceData(bboxes=given["boxes"], scores=given["scores"], labels=given["labels"])
            metric.process({}, [sample.to_dict()])
        return {"stats": np.array(list(metric.evaluate(len(content["images"])).values()))}


def eval_preprocess(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Sizes, pixels and batches of the test's preprocessing."""
    del state
    config = manifest["config"]
    found = {}
    for name, of in SIZES.items():
        step = transform("test_dataloader", "TorchResize", of)
        sides = min(step["scale"]), max(step["scale"])
        found[name] = np.array(
            [resized_size(*map(int, size), *sides, step["single_precision"]) for size in inputs["original_sizes"]]
        )
    normalise = preprocessor()
    for short, long in config["cases"]:
        resize = Compose([transform("test_dataloader", "TorchResize", scale=(long, short))])
        results = [resize(dict(img=blue_first(inputs[f"image_{number}"]))) for number in (0, 1)]
        pixels = [torch.from_numpy(result["img"].transpose(2, 0, 1).copy()) for result in results]
        name = f"{short}_{long}"
        found[f"resized_image_sizes/{name}"] = np.array([result["img_shape"] for result in results])
        found[f"uint8_0_{name}"] = pixels[0].flip(0).numpy()
        samples = [DetDataSample(metainfo=dict(img_shape=result["img_shape"])) for result in results]
        found[f"batch_{name}"] = normalise(dict(inputs=pixels, data_samples=samples))["inputs"].numpy()
    return found


def train_transforms(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Run the training augmentation with the case's draws, after the same steps on boxes that none of them drops."""
    del state
    config = manifest["config"]
    crop = config["crop"]
    image = blue_first(inputs["image"])
    boxes = HorizontalBoxes(torch.from_numpy(inputs["boxes"].copy()))
    found = {}
    # RandomCrop drops boxes that it leaves no extent at once; the case keeps them to the end.
    boxes.flip_(image.shape[:2])
    found["flip_boxes"] = boxes.numpy().copy()
    boxes.translate_([-crop["left"], -crop["top"]])
    boxes.clip_((crop["height"], crop["width"]))
    found["crop_boxes"] = boxes.numpy().copy()
    resize = Compose([dict(type="mmdet.TorchResize", scale=(config["max_size"], config["short_side"]))])
    cropped = np.zeros((crop["height"], crop["width"], 3), np.uint8)
    found["resize_boxes"] = resize(dict(img=cropped, gt_bboxes=boxes))["gt_bboxes"].numpy().copy()

    augmentation = transform(
        "train_dataloader",
        "DETRAugmentation",
        short_sides=[config["short_side"]],
        longest=config["max_size"],
        first_short_sides=[min(image.shape[:2])],
        crop=(1, 1000),
        flip_prob=1.0,
    )
    sample = dict(
        img=image.copy(),
        img_shape=image.shape[:2],
        gt_bboxes=HorizontalBoxes(torch.from_numpy(inputs["boxes"].copy())),
        gt_bboxes_labels=inputs["labels"].copy(),
        gt_ignore_flags=np.zeros(len(inputs["labels"]), bool),
    )
    cropping = "mmdet.datasets.transforms.RandomCrop"
    with (
        mock.patch("mmcv.transforms.RandomChoice.random_pipeline_index", return_value=1),
        mock.patch(f"{cropping}._get_crop_size", return_value=(crop["height"], crop["width"])),
        mock.patch(f"{cropping}._rand_offset", return_value=(crop["top"], crop["left"])),
    ):
        result = Compose([augmentation])(sample)
    pixels = result["img"].transpose(2, 0, 1)
    normalise = preprocessor(pad_size_divisor=1)
    packed = DetDataSample(metainfo=dict(img_shape=result["img_shape"]))
    batch = normalise(dict(inputs=[torch.from_numpy(pixels.copy())], data_samples=[packed]))
    rows = []
    for height, width, short in size_table_inputs().tolist():
        limit = LONGEST if short > 0 else None
        rows.append((height, width, short, *resized_size(height, width, abs(short), limit)))
    return found | {
        "resize_image": pixels[::-1],
        "final_image": batch["inputs"][0].numpy(),
        "final_boxes": result["gt_bboxes"].numpy(),
        "final_labels": result["gt_bboxes_labels"],
        "final_size": np.array(result["img_shape"]),
        "size_table": np.array(rows),
    }


def size_table_inputs() -> np.ndarray:
    """Return height, width and shorter side of each row of the case's table: they are stored with its results alone."""
    with np.load(HERE / "parity" / "train_transforms.npz") as arrays:
        return arrays["expected:size_table"][:, :3]


def mc_metric(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """The correlation of each image with two boxes or more."""
    del manifest, state
    numbers = np.unique(inputs["image_index"])
    return {"mc": correlations(inputs["boxes"][inputs["image_index"] == number] for number in numbers)}


def optimizer(manifest: dict, state: dict, inputs: dict) -> dict:
    """Build the shipped config's optimiser of each network, and step its schedules."""
    del manifest, state, inputs
    settings, found = shipped(), {}
    for name in ("relation_detr_r50", "relation_detr_swin_l"):
        state = load_keys(HERE / "parity" / f"keys_{name}.json")[name]["state_dict"]
        order = list(state)
        model = target({key: torch.empty(shape, device="meta") for key, shape in state.items()})
        names = official_names(name for name, _ in model.named_parameters())
        name_of = {parameter: names[key] for key, parameter in model.named_parameters()}
        groups = build_optim_wrapper(model, copy.deepcopy(settings.optim_wrapper)).optimizer.param_groups
        rates = sorted({group["lr"] for group in groups}, reverse=True)  # of the network, of its backbone
        for number, group in enumerate(groups):
            found |= {
                f"param_groups/{name}/{number}/{key}": value
                for key, value in dict(
                    lr=np.array(group["lr"]),
                    weight_decay=np.array(group["weight_decay"]),
                    tensors=np.array(len(group["params"])),
                    elements=np.array(sum(parameter.numel() for parameter in group["params"])),
                    names=sorted((name_of[parameter] for parameter in group["params"]), key=order.index),
                ).items()
            }
    warming, stepping = settings.param_scheduler
    for iterations, epochs, milestones in ((50, settings.train_cfg.max_epochs, stepping.milestones), (1500, 2, [1])):
        schedules = [dict(warming), dict(stepping, milestones=milestones)]
        found[f"lr_trace/iters{iterations}_epochs{epochs}_milestones{milestones}"] = np.array(
            learning_rates(schedules, rates, iterations, epochs)
        )
    return found


def learning_rates(schedules: list[dict], rates: list[float], iterations: int, epochs: int) -> list[tuple[float, ...]]:
    """Step a run's schedules as mmengine's hook does: epoch, iteration, learning rate of each group."""
    adamw = torch.optim.AdamW([dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates])
    built = [
        PARAM_SCHEDULERS.build(one, default_args=dict(optimizer=adamw, epoch_length=iterations)) for one in schedules
    ]
    found = []
    for epoch in range(epochs):
        for iteration in range(iterations):
            if iteration in STEPS:
                found.append((epoch, iteration, *(group["lr"] for group in adamw.param_groups)))
            adamw.step()
            built[0].step()
        built[1].step()
    return found


def preprocessor(**changes: object) -> torch.nn.Module:
    """Return the shipped config's."""
    return MODELS.build(dict(shipped().model.data_preprocessor, **changes))


def blue_first(image: np.ndarray) -> np.ndarray:
    """Return an RGB picture (3, H, W) as mmcv loads it."""
    return np.ascontiguousarray(image[::-1].transpose(1, 2, 0))
