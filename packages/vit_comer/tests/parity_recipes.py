"""The stored cases of training and evaluation: learning rates, losses, sliding windows, mIoU, test sizes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample
from PIL import Image
from torch import Tensor

from mmrepro.testing import SplitAdapter, load_config

TESTS = Path(__file__).resolve().parent
CONFIGS = TESTS.parent / "configs"
BACKBONE = SplitAdapter(TESTS, {}).part("parity_backbone")


def lr_schedules(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Step through the schedules of the configs."""
    seg, det = manifest["config"]["seg"], manifest["config"]["det"]
    found = {}
    for name, file, base, steps, epoch in (
        ("seg", "adamw_160k", seg["base_lr"], seg["max_iters"], None),
        ("det_1x", "adamw_1x", det["base_lr"], det["iters_per_epoch"] * det["max_epochs"], det["iters_per_epoch"]),
    ):
        schedule = load_config(CONFIGS / f"_base_/schedules/{file}.py").param_scheduler
        rates = learning_rates(schedule, base, steps, epoch)
        found[f"{name}_lr"] = rates[inputs[f"{name.removesuffix('_1x')}_iters"]]
    return found


def learning_rates(schedule: list[dict], base: float, steps: int, epoch: int | None) -> np.ndarray:
    """Return the learning rate of each step as the Runner sets it, epochs of so many steps."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    wrapper = OptimWrapper(optimiser)
    schedulers = [PARAM_SCHEDULERS.build(dict(one), default_args=dict(optimizer=wrapper)) for one in schedule]
    by_step = [one for one in schedulers if not one.by_epoch]
    by_epoch = [one for one in schedulers if one.by_epoch]
    rates = np.empty(steps)
    for step in range(steps):
        rates[step] = optimiser.param_groups[0]["lr"]
        for one in by_step:
            one.step()
        if epoch and (step + 1) % epoch == 0:
            for one in by_epoch:
                one.step()
    return rates


def upernet_loss(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Give the heads logits and labels."""
    config = manifest["config"]
    label = torch.from_numpy(inputs["label"]).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in label]
    found = {}
    for name, kind in (("decode", "UPerHead"), ("aux", "FCNHead")):
        head = segmentation_part(
            dict(
                type=kind,
                in_channels=[8] * 4 if name == "decode" else 8,
                in_index=[0, 1, 2, 3] if name == "decode" else 2,
                channels=8,
                num_classes=config["num_classes"],
                align_corners=config["align_corners"],
                loss_decode=config[name],
                ignore_index=config["ignore_index"],
            )
        )
        logits = (3 * torch.from_numpy(inputs[f"{name}_logits"])).requires_grad_()
        losses = head.loss_by_feat(logits, samples)
        found[f"{name}_loss_ce"] = losses["loss_ce"].detach().double()[None]
        found[f"{name}_acc_seg_valid"] = losses["acc_seg"].double().reshape(1)
        # mmsegmentation 0 divided by the number of all pixels
        share = (label != config["ignore_index"]).double().mean()
        found[f"{name}_acc_seg"] = found[f"{name}_acc_seg_valid"] * share
        if name == "decode":
            losses["loss_ce"].backward()
            found["decode_logits_grad_norm"] = logits.grad.double().norm()[None]
    return BACKBONE.arrays(found)


def slide_inference(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Predict in windows; the classes are left open where the case says that two are as good."""
    config = manifest["config"]
    model = segmentor(config)
    BACKBONE.load(model, state)
    model.eval()
    image = torch.from_numpy(inputs["image"])
    size = tuple(image.shape[-2:])
    height, width = np.array(manifest["notes"].split("ori_shape (")[1].split(")")[0].split(","), int)
    sample = SegDataSample(metainfo=dict(ori_shape=(height, width), img_shape=size, pad_shape=size))
    with torch.inference_mode():
        (predicted,) = model.predict(image, [sample])
    logits = predicted.seg_logits.data
    best = logits.topk(2, dim=0).values
    close = ((best[0] - best[1]) < 1e-3 * logits.abs().max()).numpy()
    return {
        "logits": logits[None].numpy(),
        "pred": predicted.pred_sem_seg.data[0].numpy().astype(np.uint8),
        "margin_small": np.packbits(close),
    }


def miou_metric(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Measure predictions with mmsegmentation's metric, and give its values by class as well."""
    config = manifest["config"]
    metric = IoUMetric(ignore_index=config["ignore_index"])
    areas = [
        metric.intersect_and_union(torch.from_numpy(one), labels(gt), config["num_classes"], config["ignore_index"])
        for one, gt in zip(inputs["pred"], inputs["gt"], strict=True)
    ]
    totals = [sum(part) for part in zip(*areas, strict=True)]
    found = metric.total_area_to_metrics(*totals, metrics=["mIoU"])
    return {"IoU": found["IoU"], "Acc": found["Acc"], "aAcc": found["aAcc"][None], "mIoU": found["IoU"].mean()[None]}


def labels(stored: np.ndarray) -> Tensor:
    """Return what ADE20K's configs load of a label map."""
    steps = load_config(CONFIGS / "_base_/datasets/ade20k_512x512.py").val_dataloader.dataset.pipeline
    (load,) = [dict(step) for step in steps if step.type == "LoadAnnotations"]
    with TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope("mmseg"):
        file = f"{folder}/labels.png"
        Image.fromarray(stored.astype(np.uint8)).save(file)
        # what mmsegmentation's data set says of itself
        found = Compose([load])(dict(seg_map_path=file, reduce_zero_label=True, label_map=None, seg_fields=[]))
    return torch.from_numpy(found["gt_seg_map"].astype(np.int64))


def seg_test_resize(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Resize as the configs do in the test."""
    config = load_config(CONFIGS / "_base_/datasets/ade20k_512x512.py")
    first, second = [dict(step) for step in config.val_dataloader.dataset.pipeline[1:3]]
    with DefaultScope.overwrite_default_scope("mmseg"):
        once, both, last = Compose([first]), Compose([first, second]), Compose([second])
    sizes = []
    for height, width in inputs["sizes"]:
        blank = np.zeros((height, width, 1), np.uint8)
        sizes.append([*resized(once, blank).shape[:2], *resized(both, blank).shape[:2]])
    return {"sizes": np.array(sizes), "resized_image": resized(last, inputs["image"])}


def resized(steps: Compose, image: np.ndarray) -> np.ndarray:
    return steps(dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2]))["img"]


def segmentor(config: dict) -> torch.nn.Module:
    """Build a segmentor of official arguments, with this package's backbone."""
    official = config["backbone"]
    backbone = {name: official[name] for name in BACKBONE.SAME_NAME if name in official}
    backbone["arch"] = {name: official[name] for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")}
    backbone |= dict(type="ViTCoMer", variant="seg", mrfp_ratio=official["dim_ratio"])
    return segmentation_part(dict(config, backbone=backbone, data_preprocessor=dict(type="SegDataPreProcessor")))


def segmentation_part(config: dict) -> torch.nn.Module:
    """Build a model or a part of one in mmsegmentation's scope."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build(ConfigDict(config))
