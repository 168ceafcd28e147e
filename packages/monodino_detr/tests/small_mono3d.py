"""Small detectors, and batches of images with cameras and objects, for the tests of this paper."""

import copy

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

DIMS, QUERIES, GROUPS, SIDE = 32, 4, 3, 56
BODY = dict(embed_dims=16, depth=4, num_heads=2, out_indices=(0, 1, 2, 3))
CAMERA = [[700.0, 0.0, 60.0, 40.0], [0.0, 700.0, 20.0, 0.2], [0.0, 0.0, 1.0, 0.003]]


def small_settings(use_dab: bool = True, **changes) -> dict:
    """Return the config of a detector of 4 x 4 patches; ``changes`` replace whole entries."""
    layers = dict(num_layers=2, embed_dims=DIMS, num_heads=4, feedforward_channels=48, dropout=0.0)
    settings = dict(
        type="MonoDINODETR",
        backbone=dict(type="DINOv2ViT", arch=BODY, img_size=SIDE),
        depth_head=dict(type="DPTDepthHead", arch=dict(embed_dims=16, features=8, out_channels=(4, 4, 8, 8))),
        neck=dict(
            type="HierarchicalFeatureFusion", in_channels=16, mid_channels=(8, 16), out_channels=DIMS, num_groups=8
        ),
        depth_predictor=dict(type="DepthPredictor", embed_dims=DIMS, num_heads=4, dropout=0.0),
        encoder=layers,
        decoder={**layers, "use_dab": use_dab},
        bbox_head=dict(type="MonoDETRHead", num_classes=3),
        num_queries=QUERIES,
        group_num=GROUPS,
        target_size=SIDE,
    )
    return copy.deepcopy(settings | changes)


def small_detector(use_dab: bool = True, **changes) -> nn.Module:
    """Return a detector in evaluation mode whose every weight is drawn, so that nothing passes as zero."""
    torch.manual_seed(0)
    model = MODELS.build(small_settings(use_dab, **changes))
    model.init_weights()
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=float(name.endswith(("weight", "gamma"))), std=0.1)
        elif "sampling_offsets" in name or "attention_weights" in name:
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def drawn_detector(
    seed: int = 0, classes: int = 4, predictor: dict | None = None, decoder: dict | None = None, **changes
) -> nn.Module:
    """Return a detector that is built again from its weights, of 11 groups; its weights all differ.

    Args:
        seed: of the weights.
        classes: of the head.
        predictor, decoder: settings of these parts that are not those of :func:`small_settings`.
        changes: replace whole entries.
    """
    settings = small_settings(
        **{"group_num": 11, "bbox_head": dict(type="MonoDETRHead", num_classes=classes)} | changes
    )
    settings["neck"] |= dict(mid_channels=(DIMS, DIMS), num_groups=32)  # groups show in no weight
    settings["depth_predictor"] |= predictor or {}
    settings["decoder"] |= decoder or {}
    model, random = MODELS.build(settings), torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.detach().normal_(generator=random)
    return model


def small_batch(counts=(2, 1), height=40, width=120) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Return images, and samples with cameras and ``counts`` objects."""
    torch.manual_seed(1)
    samples = []
    for count in counts:
        sample = DetDataSample(metainfo=dict(cam2img=CAMERA, ori_shape=(height, width), img_shape=(height, width)))
        sides = 0.05 + 0.1 * torch.rand(count, 4)
        centres = 0.3 + 0.4 * torch.rand(count, 2)
        left, right, top, bottom = sides.unbind(1)
        middle = torch.stack([(right - left) / 2, (bottom - top) / 2], 1)
        sample.gt_instances = InstanceData(
            labels=torch.arange(count) % 3,
            boxes=torch.cat([centres + middle, torch.stack([left + right, top + bottom], 1)], 1),
            boxes_3d=torch.cat([centres, sides], 1),
            depth=10 + 10 * torch.rand(count),
            size_3d=1 + torch.rand(count, 3),
            heading_bin=torch.arange(count) + 2,
            heading_res=0.1 * torch.rand(count),
        )
        samples.append(sample)
    return torch.randn(len(counts), 3, height, width), samples
