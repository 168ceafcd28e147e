"""Steps of a point cloud's pipeline: sampling, augmentation and features, as the official configs have them.

A sample has ``points (N, 3)`` float32, and maybe ``colours (N, 3)`` (red, green, blue in [0, 255], or normals),
``heights (N, 1)`` and ``gt_points (N,)``. A step that chooses points chooses of all of them.
"""
# ruff: noqa: NPY002  the engine seeds the global state, in every worker too

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.read_cloud import CloudError
from mm_meta_transformer.models.point_ops import farthest_points

_PER_POINT = ("points", "colours", "heights", "gt_points", "point_mask")


def take(results: dict[str, Any], index: np.ndarray) -> dict[str, Any]:
    """Return a sample of the points that an index names, ``(M,)`` or ``(P, M)`` for several parts."""
    return results | {key: results[key][index] for key in _PER_POINT if key in results}


@TRANSFORMS.register_module()
class SamplePoints(BaseTransform):
    """Take a fixed number of points.

    A cloud of fewer points is an error, or with ``repeat`` some of its points are taken twice: random ones where points
    are chosen at random, else the same in every run. With ``repeat`` every sample says how many in ``repeated``, has a
    ``point_mask``, 0 for those, and where there are any a word among its ``repairs``.

    Args:
        count: how many.
        how: ``"first"``; ``"random"``, without repetition; ``"farthest"``, far from each other; ``"with_replacement"``,
            which takes random points and may repeat some in any case, without a mask, as ShapeNetPart's authors do.
        of: for ``"random"``: of how many, which are chosen far from each other first (ScanObjectNN: 1,024 of 1,200).
            The choice begins with the first point: shuffle before it, or these are the same in every epoch.
        shuffle: whether the points taken are put in random order.
        repeat: what to do with fewer points.

    Raises:
        DataError: ``how`` is not known.
        CloudError: a cloud has too few points and ``repeat`` is false.
    """

    def __init__(
        self, count: int, how: str = "first", of: int | None = None, shuffle: bool = False, repeat: bool = False
    ) -> None:
        if how not in ("first", "random", "farthest", "with_replacement"):
            raise DataError(f"how={how!r} is not known. Fix: 'first', 'random', 'farthest' or 'with_replacement'")
        self.count, self.how, self.of, self.shuffle, self.repeat = count, how, of, shuffle, repeat

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with ``count`` points."""
        size = len(results["points"])
        if size == 0 or (size < self.count and not self.repeat and self.how != "with_replacement"):
            raise CloudError(
                f"{results.get('path', 'the cloud')} has {size} points, SamplePoints takes {self.count}. "
                "Fix: a smaller count, or repeat=True"
            )
        if self.how != "with_replacement" and size < self.count:
            index, mask = _filled(np.arange(size), self.count, random=self.how == "random")
            results = _said(take(results, index) | dict(point_mask=mask), mask)
            index = np.arange(self.count)
        else:
            index = self._index(results["points"])
            if self.repeat and self.how != "with_replacement":
                results = results | dict(point_mask=np.ones(size, np.int64), repeated=0)
        return take(results, np.random.permutation(index) if self.shuffle else index)

    def _index(self, points: np.ndarray) -> np.ndarray:
        if self.how == "first":
            return np.arange(self.count)
        if self.how == "with_replacement":
            return np.random.choice(len(points), self.count)
        if self.how == "farthest":
            return _farthest(points, self.count)
        candidates = np.arange(len(points)) if self.of is None else _farthest(points, min(self.of, len(points)))
        return np.random.choice(candidates, self.count, replace=False)


@TRANSFORMS.register_module()
class SampleVoxels(BaseTransform):
    """Take one random point of each voxel, then of a large scene those around a point; a small one is filled up.

    How many points are taken twice is said in ``repeated``, and among the sample's ``repairs`` where there are any.

    Args:
        voxel_size: edge in metres.
        max_points: how many points are taken, around a random one (in tests the middle one of the list); None for all.
        fill: whether a scene of fewer points gets some twice, with ``point_mask`` 0, so that batches can be stacked.
        test: without randomness: the first point of each voxel, in the given order, and the same fill in every run.
    """

    def __init__(
        self, voxel_size: float = 0.04, max_points: int | None = None, fill: bool = True, test: bool = False
    ) -> None:
        self.voxel_size, self.max_points, self.fill, self.test = voxel_size, max_points, fill, test

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with fewer points, its coordinates from 0 on."""
        points = results["points"]
        order, start, count = voxels(points, self.voxel_size)
        offset = np.zeros_like(count) if self.test else np.random.randint(0, count.max(), len(count)) % count
        index = order[start + offset]
        size = self.max_points
        if size is not None and len(index) >= size:
            middle = len(index) // 2 if self.test else np.random.randint(len(index))
            distance = np.square(points[index] - points[index[middle]]).sum(1)
            index = index[np.argsort(distance, kind="stable")[:size]]
        mask = np.ones(len(index), np.int64)
        if size is not None and len(index) < size and self.fill:
            index, mask = _filled(index, size, random=not self.test)
        if not self.test:
            mixed = np.random.permutation(len(index))
            index, mask = index[mixed], mask[mixed]
        results = _said(take(results, index), mask)
        if self.max_points is not None:
            results["point_mask"] = mask
        results["points"] = results["points"] - results["points"].min(0)
        return results


@TRANSFORMS.register_module()
class VoxelParts(BaseTransform):
    """Cut a dense scene into parts with one point of each voxel, which together have every point.

    Every part has as many points as there are voxels; a voxel with fewer points than the densest takes turns. The
    sample's ``points (P, M, 3)`` and ``index (P, M)`` are for
    :meth:`.MetaTransformerPointSeg.predict`; ``gt_points (N,)`` stays whole.

    Args:
        voxel_size: edge in metres.
    """

    def __init__(self, voxel_size: float = 0.04) -> None:
        self.voxel_size = voxel_size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample in parts."""
        order, start, count = voxels(results["points"], self.voxel_size)
        index = order[start + np.arange(count.max())[:, None] % count]
        whole = {key: results[key] for key in ("gt_points",) if key in results}
        results = take(results, index) | whole | dict(index=index)
        results["points"] = results["points"] - results["points"].min(1, keepdims=True)
        return results


@TRANSFORMS.register_module()
class CentrePoints(BaseTransform):
    """Move the mean of the points to 0.

    Args:
        normalise: whether the farthest point then gets the distance 1.
        floor: an axis whose lowest point is moved to 0 instead.

    Raises:
        CloudError: all points are one, which has no distance to normalise.
    """

    def __init__(self, normalise: bool = False, floor: int | None = None) -> None:
        self.normalise, self.floor = normalise, floor

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample moved."""
        points = results["points"] - results["points"].mean(-2, keepdims=True)
        if self.floor is not None:
            points[..., self.floor] -= points[..., self.floor].min(-1, keepdims=True)
        if self.normalise:
            largest = np.linalg.norm(points, axis=-1).max(-1)[..., None, None]
            if not np.all(largest > 0):
                raise CloudError(f"{results.get('path', 'the cloud')}: all points are one. Fix: leave the cloud out")
            points = points / largest
        return results | dict(points=points)


@TRANSFORMS.register_module()
class PointHeights(BaseTransform):
    """Add ``heights (N, 1)``, metres above the lowest point; centring comes after it.

    Args:
        axis: which one points upwards.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with ``heights``."""
        height = results["points"][..., self.axis, None]
        return results | dict(heights=height - height.min(-2, keepdims=True))


@TRANSFORMS.register_module()
class RandomScalePoints(BaseTransform):
    """Multiply each axis by a number of its own, and maybe move the cloud.

    Args:
        scale: range of the factors.
        shift: largest move along each axis, in both directions.
    """

    def __init__(self, scale: Sequence[float] = (2 / 3, 3 / 2), shift: float = 0.0) -> None:
        self.scale, self.shift = tuple(scale), shift

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample scaled."""
        factor = np.random.uniform(*self.scale, 3).astype(np.float32)
        move = np.random.uniform(-self.shift, self.shift, 3).astype(np.float32)
        return results | dict(points=results["points"] * factor + move)


@TRANSFORMS.register_module()
class RandomRotatePoints(BaseTransform):
    """Turn the cloud about one axis by a random angle.

    Args:
        axis: 0, 1 or 2.
        largest: largest angle in both directions, as a share of half a turn.
    """

    def __init__(self, axis: int, largest: float = 1.0) -> None:
        self.axis, self.largest = axis, largest

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample turned."""
        angle = np.random.uniform(-self.largest, self.largest) * np.pi
        first, second = (self.axis + 1) % 3, (self.axis + 2) % 3
        turn = np.eye(3, dtype=np.float32)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        return results | dict(points=results["points"] @ turn.T)


@TRANSFORMS.register_module()
class JitterPoints(BaseTransform):
    """Move every point by a little noise.

    Args:
        sigma: its standard deviation in the cloud's unit.
        clip: its largest size.
    """

    def __init__(self, sigma: float, clip: float) -> None:
        self.sigma, self.clip = sigma, clip

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample moved."""
        noise = np.clip(np.random.normal(0, self.sigma, results["points"].shape), -self.clip, self.clip)
        return results | dict(points=results["points"] + noise.astype(np.float32))


@TRANSFORMS.register_module()
class RandomColourContrast(BaseTransform):
    """Stretch each colour to the whole range, mixed with the given one at random.

    Args:
        probability: how often.
    """

    def __init__(self, probability: float = 0.2) -> None:
        self.probability = probability

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with other ``colours``."""
        if np.random.rand() >= self.probability:
            return results
        colours, share = results["colours"], np.random.rand()
        low, high = colours.min(0, keepdims=True), colours.max(0, keepdims=True)
        stretched = (colours - low) * (255 / np.maximum(high - low, 1))
        return results | dict(colours=((1 - share) * colours + share * stretched).astype(np.float32))


@TRANSFORMS.register_module()
class RandomDropColours(BaseTransform):
    """Set the colours (or normals) of a whole cloud to 0.

    Args:
        probability: how often.
    """

    def __init__(self, probability: float = 0.2) -> None:
        self.probability = probability

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample, maybe without ``colours``."""
        if np.random.rand() < self.probability:
            return results | dict(colours=np.zeros_like(results["colours"]))
        return results


@TRANSFORMS.register_module()
class NormaliseColours(BaseTransform):
    """Bring colours from [0, 255] to mean 0 and deviation 1.

    Args:
        mean: of the data set, in [0, 1]; S3DIS's by default.
        std: alike.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.5136457, 0.49523646, 0.44921124),
        std: Sequence[float] = (0.18308958, 0.18415008, 0.19252081),
    ) -> None:
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with other ``colours``."""
        return results | dict(colours=(results["colours"] / np.float32(255) - self.mean) / self.std)


@TRANSFORMS.register_module()
class PointFeatures(BaseTransform):
    """Put several keys side by side as ``features (N, C)``.

    Args:
        keys: of ``points``, ``colours`` and ``heights``, in this order.
    """

    def __init__(self, keys: Sequence[str] = ("points", "colours", "heights")) -> None:
        self.keys = tuple(keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with ``features``."""
        return results | dict(features=np.concatenate([results[key] for key in self.keys], -1).astype(np.float32))


def voxels(points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which points are in which voxel.

    Args:
        points: ``(N, 3)``.
        size: edge of a voxel.

    Returns:
        An order ``(N,)`` of the points, voxel after voxel; for each voxel where it begins there, and how many it has.
    """
    cells = np.floor((points - points.min(0)) / size).astype(np.int64)
    keys = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(0) + 1))
    order = np.argsort(keys, kind="stable")
    _, start, count = np.unique(keys[order], return_index=True, return_counts=True)
    return order, start, count


def _filled(index: np.ndarray, count: int, random: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` points, those of ``index`` first and then some of them again, and 0 for each of the latter."""
    size = len(index)
    more = np.random.choice(index, count - size) if random else np.resize(index, count)[size:]
    return np.concatenate([index, more]), (np.arange(count) < size).astype(np.int64)


def _said(results: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """Return a sample that says how many of its points were taken twice."""
    repeated = int((mask == 0).sum())
    if repeated:
        results = results | dict(repairs=[*results.get("repairs", ()), f"{repeated} points taken twice"])
    return results | dict(repeated=repeated)


def _farthest(points: np.ndarray, count: int) -> np.ndarray:
    return farthest_points(torch.from_numpy(np.ascontiguousarray(points))[None], count)[0].numpy()
