"""Speed and memory of the position relation beside a plain transcription, and of the detector beside mmdet's DINO.

The relation at the numbers of queries of a prediction and of a training step; the whole Relation-DETR beside DINO with
the same backbone, queries and levels, predictions and training steps, on the CPU, and on CUDA where there is a device.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import mm_relation_detr  # noqa: F401  first: registers everything, and serves the operators that mmcv imports

# isort: split
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention as MmcvMultiScaleDeformableAttention
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_relation_detr.models.position_relation import PositionRelationEmbedding
from mmrepro import papers
from mmrepro.ops import MultiScaleDeformableAttention

Make = Callable[[], Callable[[], object]]
OURS = "relation-detr_r50-4scale_2xb5-12e_coco.py"
DINO = '_base_ = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"'
TRANSCRIPTION = Path(__file__).with_name("plain_official.py")
QUERIES = {"forward": 900, "training step": 1100}  # the latter with two hundred denoising queries
SIZES = ((320, 320), (800, 1333))
TARGETS = 7  # boxes in an image, COCO's mean
MULTIPLE = 32  # of the padded size


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return the relation beside its transcription, and the detector beside DINO."""
    devices = {"CPU": "cpu"}
    if torch.cuda.is_available():
        devices[torch.cuda.get_device_name()] = "cuda"
    found = {}
    for name, device in devices.items():
        found[f"{name}: the position relation, ours beside a plain transcription"] = {
            f"{number} boxes": {
                what: {
                    "ours": partial(relation, PositionRelationEmbedding, number, what, device),
                    "plain": partial(relation, plain, number, what, device),
                }
            }
            for what, number in QUERIES.items()
        }
        beside = {
            "Relation-DETR beside mmdet's DINO, ResNet-50, 900 queries, 4 levels": dino,
            "the same, DINO with the core's deformable attention": dino_with_our_operator,
        }
        for title, other in beside.items():
            found[f"{name}: {title}"] = {
                f"{height}x{width}": {
                    what: {
                        "Relation-DETR": partial(make, ours, (height, width), device),
                        "DINO": partial(make, other, (height, width), device),
                    }
                    for what, make in (("prediction", prediction), ("training step", training_step))
                }
                for height, width in SIZES
            }
    return found


def relation(build: Callable[[], nn.Module], number: int, what: str, device: str) -> Callable[[], None]:
    """Return the bias of one image's refined boxes, or that and its backward pass."""
    torch.manual_seed(0)
    module = build().to(device)
    drawn = torch.rand(1, number, 4)
    src = torch.cat([drawn[..., :2], 0.5 * drawn[..., 2:] ** 2 + 1e-3], dim=-1).to(device)
    tgt = (src + 0.01 * torch.randn_like(src)).clamp(1e-4, 1)
    cotangent = torch.randn(1, module.pos_proj[0].out_channels, number, number, device=device)

    def call() -> None:
        if what == "training step":
            module.zero_grad()
            module(src, tgt).backward(cotangent)
        else:
            with torch.no_grad():
                module(src, tgt)
        wait(device)

    return call


def plain() -> nn.Module:
    """Return the transcription of the official module."""
    spec = importlib.util.spec_from_file_location("mm_relation_detr_plain_official", TRANSCRIPTION)
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlainPositionRelation()


def ours() -> nn.Module:
    """Return Relation-DETR with ResNet-50, without weights from ImageNet."""
    return network(Config.fromfile(papers.find_config("relation_detr", OURS)))


def dino() -> nn.Module:
    """Return mmdet's DINO with ResNet-50, without weights from ImageNet."""
    return network(Config.fromstring(DINO, ".py"))


def dino_with_our_operator() -> nn.Module:
    """Return the same with the core's deformable attention, which has mmcv's parameters and results."""
    model = dino()
    for module in model.modules():
        if type(module) is MmcvMultiScaleDeformableAttention:
            module.__class__ = MultiScaleDeformableAttention
    return model


def network(config: Config) -> nn.Module:
    """Build and initialise a config's detector."""
    register_all_modules()
    torch.manual_seed(0)
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    model.init_weights()
    return model


def prediction(build: Callable[[], nn.Module], size: tuple[int, int], device: str) -> Callable[[], None]:
    """Return the detections in one random image."""
    model = build().to(device).eval()
    images, samples = batch(size, device)

    def predict() -> None:
        with torch.no_grad():
            model.predict(images, samples, rescale=False)
        wait(device)

    return predict


def training_step(build: Callable[[], nn.Module], size: tuple[int, int], device: str) -> Callable[[], None]:
    """Return a training step without its optimiser, on one random image."""
    model = build().to(device).train()
    images, samples = batch(size, device)

    def step() -> None:
        model.zero_grad()
        losses, _ = model.parse_losses(model.loss(images, samples))
        losses.backward()
        wait(device)

    return step


def batch(size: tuple[int, int], device: str) -> tuple[Tensor, list[DetDataSample]]:
    """Return a random image of a size, padded, with random boxes of COCO's classes."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    padded = [-(-side // MULTIPLE) * MULTIPLE for side in size]
    images = torch.zeros(1, 3, *padded)
    images[..., :height, :width] = torch.randn(3, height, width, generator=generator)
    corners = torch.rand(TARGETS, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([width, height])
    sample = DetDataSample(
        metainfo={
            "img_shape": size,
            "ori_shape": size,
            "batch_input_shape": tuple(padded),
            "pad_shape": tuple(padded),
            "scale_factor": (1.0, 1.0),
        }
    )
    labels = torch.randint(80, (TARGETS,), generator=generator)
    sample.gt_instances = InstanceData(bboxes=corners.flatten(1), labels=labels)
    return images.to(device), [sample.to(device)]


def wait(device: str) -> None:
    """Wait for what CUDA was given to do."""
    if device == "cuda":
        torch.cuda.synchronize()
