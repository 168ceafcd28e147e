"""Random predictions and objects for the tests of matching, losses and decoding."""

from __future__ import annotations

import torch
from mmengine.structures import InstanceData

from mm_monodino_detr.models.predictions import Predictions


def random_boxes(*shape: int, random: torch.Generator) -> torch.Tensor:
    """Return boxes (cx, cy, l, r, t, b) well inside the picture, ``(*shape, 6)``."""
    centres = torch.rand(*shape, 2, generator=random) * 0.4 + 0.3
    return torch.cat([centres, torch.rand(*shape, 4, generator=random) * 0.15 + 0.03], -1)


def random_predictions(layers: int = 2, images: int = 3, queries: int = 12, seed: int = 0) -> Predictions:
    """Return predictions of 4 classes, 80 depth bins and a map of 4 x 6 cells, with gradients."""
    random = torch.Generator().manual_seed(seed)
    start = (layers, images, queries)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    parts = {
        "logits": normal(*start, 4),
        "boxes": random_boxes(*start, random=random),
        "dims": normal(*start, 3) * 0.2 + 2,
        "depths": normal(*start, 2) * 0.3 + 20,
        "angles": normal(*start, 24),
        "depth_map_logits": normal(images, 81, 4, 6),
        "weighted_depth": normal(images, 4, 6) + 20,
    }
    parts["depths"][..., 1] -= 20
    return Predictions(**{name: part.requires_grad_() for name, part in parts.items()})


def random_objects(counts: tuple[int, ...] = (2, 0, 3), seed: int = 1) -> list[InstanceData]:
    """Return the objects of images as the data sets give them."""
    random = torch.Generator().manual_seed(seed)
    found = []
    for count in counts:
        boxes_3d = random_boxes(count, random=random)
        sides = boxes_3d[:, 2:]
        centres = boxes_3d[:, :2] + (sides[:, [1, 3]] - sides[:, [0, 2]]) / 2
        found.append(
            InstanceData(
                labels=torch.randint(3, (count,), generator=random),
                boxes=torch.cat([centres, sides[:, [0, 2]] + sides[:, [1, 3]]], -1),
                boxes_3d=boxes_3d,
                depth=torch.rand(count, generator=random) * 40 + 5,
                size_3d=torch.rand(count, 3, generator=random) + 1.5,
                heading_bin=torch.randint(12, (count,), generator=random),
                heading_res=torch.rand(count, generator=random) * 0.5 - 0.25,
            )
        )
    return found
