"""From the predictions of a layer to 3D detections in KITTI's frame.

After JihyeokKim/MonoDINO-DETR @ 65004cc (``extract_dets_from_outputs``, ``decode_detections``).
There is no suppression of neighbours and boxes are not clipped to the picture. The frame is the camera's: x right,
y down, z ahead, in metres; a box stands on its bottom centre.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mm_monodino_detr.models.heading_bins import NUM_BINS, decode_heading
from mm_monodino_detr.models.predictions import Predictions, box_corners


class Chosen(NamedTuple):
    """The K best pairs of a query and a class of each image, the best first.

    Attributes:
        labels: ``(B, K)``.
        scores: of the class, ``(B, K)``.
        centres: the projected centre of the 3D box in parts of the network's input, ``(B, K, 2)``.
        corners: of the 2D box, (x1, y1, x2, y2) in parts of the network's input, ``(B, K, 4)``.
        depths: in metres, ``(B, K)``.
        certainties: the inverse of the depth's variance, which the score is multiplied by and which may exceed 1,
            ``(B, K)``.
        angles: 12 logits of heading bins and 12 residuals in radians, ``(B, K, 24)``.
        dims: height, width and length in metres, ``(B, K, 3)``.
    """

    labels: Tensor
    scores: Tensor
    centres: Tensor
    corners: Tensor
    depths: Tensor
    certainties: Tensor
    angles: Tensor
    dims: Tensor


def best_pairs(predictions: Predictions, count: int) -> Chosen:
    """Choose the pairs of a query and a class with the highest scores; a query may be chosen for several classes.

    Args:
        predictions: the last layer is decoded.
        count: how many of an image; all of them where there are fewer.
    """
    logits = predictions.logits[-1].float()
    scores, places = logits.sigmoid().flatten(1).topk(min(count, logits[0].numel()))
    queries = places.div(logits.shape[-1], rounding_mode="floor")[..., None]
    boxes, dims, depths, angles = (
        values[-1].float().gather(1, queries.expand(-1, -1, values.shape[-1]))
        for values in (predictions.boxes, predictions.dims, predictions.depths, predictions.angles)
    )
    return Chosen(
        labels=places % logits.shape[-1],
        scores=scores,
        centres=boxes[..., :2],
        corners=box_corners(boxes),
        depths=depths[..., 0],
        certainties=(-depths[..., 1]).exp(),
        angles=angles,
        dims=dims,
    )


def decode(
    chosen: Chosen,
    projections: Tensor,
    sizes: Tensor,
    score_thr: float = 0.2,
    known_classes: int | None = None,
    affines: Tensor | None = None,
    input_sizes: Tensor | None = None,
) -> list[InstanceData]:
    """Return the detections of each image, computed in float64 on the CPU: a file has more digits than a float32.

    Args:
        chosen: the candidates.
        projections: the cameras' P2 of the original images, ``(B, 3, 4)``.
        sizes: width and height of the original images in pixels, ``(B, 2)``.
        score_thr: candidates whose class has less are dropped; that is before scores are multiplied by certainties.
        known_classes: labels from here on are dropped, as they are nobody's. None: there are none.
        affines: from pixels of the original image to those of the network's input, ``(B, 2, 3)``. Without them
            coordinates are officially stretched to the original image, although the input was scaled by the width and
            cropped: rows are up to 1.2 px off at 1242 x 375, and published numbers include that.
        input_sizes: width and height of the network's input in pixels, ``(B, 2)``; read with ``affines``.

    Returns:
        Of each image, by descending score of the class: ``labels``, ``scores``, ``bboxes`` (x1, y1, x2, y2) in pixels
        of the original image, ``bboxes_3d`` (h, w, l, x, y, z, rotation_y) in metres and radians, and ``alphas``.

    Raises:
        ValueError: a candidate holds NaN.
    """
    # whole batches leave a GPU, for every copy waits for it
    chosen, sizes = Chosen(*(part.detach().cpu() for part in chosen)), sizes.cpu()
    if affines is not None:
        affines, input_sizes = affines.detach().cpu().double(), input_sizes.cpu()
    found = []
    for image, projection in enumerate(projections.detach().cpu().double()):
        _refuse_nan(chosen, image)
        labels, scores, centres, corners, depths, certainties, angles, dims = (part[image] for part in chosen)
        kept = scores >= score_thr
        if known_classes is not None:
            kept &= labels < known_classes
        # Officially float32 ends with a box's middle and sides: corners made of them differ in the last digit written.
        middles, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        scores, centres, middles, sides, depths, certainties, angles, dims = (
            part[kept].double() for part in (scores, centres, middles, sides, depths, certainties, angles, dims)
        )
        points = torch.stack([middles - sides / 2, middles + sides / 2, centres], 1)  # two corners and the 3D centre
        if affines is None:
            points = points * sizes[image]
        else:
            affine = affines[image]
            points = (points * input_sizes[image] - affine[:, 2]) @ torch.linalg.inv(affine[:, :2]).T
        centre_2d = (points[:, 0, 0] + points[:, 1, 0]) / 2
        alphas = _alphas(angles)
        found.append(
            InstanceData(
                labels=labels[kept],
                scores=scores * certainties,
                bboxes=points[:, :2].flatten(1),
                bboxes_3d=torch.cat(
                    [
                        dims,
                        _standing(points[:, 2], depths, dims[:, 0], projection),
                        _rotations(alphas, centre_2d, projection)[:, None],
                    ],
                    -1,
                ),
                alphas=alphas,
            )
        )
    return found


def _refuse_nan(chosen: Chosen, image: int) -> None:
    """Raise where a threshold would drop a score that is no number, and an empty image would be all one sees."""
    if broken := [name for name, part in zip(chosen._fields, chosen, strict=True) if part[image].isnan().any()]:
        raise ValueError(
            f"image {image} of the batch: NaN among the predicted {', '.join(broken)}. Fix: finite pixels, and "
            "weights of a training that did not diverge"
        )


def _alphas(angles: Tensor) -> Tensor:
    """Return the observation angles of logits and residuals ``(K, 24)``."""
    logits, residuals = angles.split(NUM_BINS, -1)
    bins = logits.argmax(-1)
    # of the angles' type: whole numbers times a float would be float32
    return decode_heading(bins.to(angles), residuals.gather(-1, bins[:, None])[:, 0])


def _standing(points: Tensor, depths: Tensor, heights: Tensor, projection: Tensor) -> Tensor:
    """Return the bottom centres (x, y, z) of boxes by their projected centres, ``(K, 3)``."""
    focal = projection[[0, 1], [0, 1]]
    across = (points - projection[:2, 2]) * depths[:, None] / focal - projection[:2, 3] / focal
    return torch.stack([across[:, 0], across[:, 1] + heights / 2, depths], -1)


def _rotations(alphas: Tensor, centres: Tensor, projection: Tensor) -> Tensor:
    """Return the rotations about the vertical; the ray is that to the centre of the 2D box. They are wrapped once."""
    rotations = alphas + torch.atan2(centres - projection[0, 2], projection[0, 0])
    turn = 2 * torch.pi
    return rotations - turn * (rotations > torch.pi) + turn * (rotations < -torch.pi)
