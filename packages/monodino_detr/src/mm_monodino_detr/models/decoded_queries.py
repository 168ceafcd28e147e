"""What the head of a MonoDINO-DETR is given: the decoder's queries, the predicted depth, and the cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mm_monodino_detr.models.depth_predictor import DepthPrediction


class DecodedQueries(NamedTuple):
    """The queries of B images after each of L decoder layers; of the last L where not all are kept."""

    hidden: Tensor  # (L, B, N, C)
    boxes: Tensor  # (cx, cy, l, r, t, b) in [0, 1] of the network's input, (L, B, N, 6)
    depth: DepthPrediction


class Cameras(NamedTuple):
    """The cameras of B images as they were taken, whatever an augmentation did to the images."""

    projections: Tensor  # pixels of the original image from metres, KITTI's P2, (B, 3, 4)
    sizes: Tensor  # of the original image, (W, H) in pixels, (B, 2)


def collect_cameras(batch_img_metas: Sequence[Mapping], like: Tensor) -> Cameras:
    """Return the cameras of a batch.

    Args:
        batch_img_metas: with ``cam2img``, three rows of four numbers, and ``ori_shape``, (H, W), of each image.
        like: of the type and on the device that are wanted.

    Raises:
        KeyError: an image lacks one of the two.
        ValueError: ``cam2img`` is not 3 x 4, or holds what is no finite number.
    """
    projections, sizes = [], []
    for index, meta in enumerate(batch_img_metas):
        name = meta.get("img_path", f"image {index} of the batch")
        for key in ("cam2img", "ori_shape"):
            if key not in meta:
                raise KeyError(f"{name} has no {key} in its metainfo. Fix: leave it among PackMono3DInputs' meta_keys")
        projection = torch.as_tensor(meta["cam2img"], dtype=torch.float64)
        if projection.shape != (3, 4) or not projection.isfinite().all():
            raise ValueError(
                f"{name}: cam2img must be three rows of four finite numbers (KITTI's P2), it is {meta['cam2img']}"
            )
        projections.append(projection)
        sizes.append((meta["ori_shape"][1], meta["ori_shape"][0]))
    return Cameras(torch.stack(projections).to(like), torch.tensor(sizes).to(like))
