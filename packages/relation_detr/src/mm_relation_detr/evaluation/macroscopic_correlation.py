"""Macroscopic correlation: how far the boxes of an image are like one another (arXiv 2407.11699, section 3).

The official code computes it in ``visualization/mc_distribution.ipynb`` (xiuqhou/Relation-DETR @ b485955).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric

from mmrepro.datasets.coco_file import AnnotationError, checked


def macroscopic_correlation(boxes: np.ndarray) -> float:
    """Return the mean absolute Pearson correlation between the boxes of one image.

    Args:
        boxes: (N, 4), x, y, w, h in pixels; a box is a variable with four observations.

    Returns:
        Between 0 and 1; NaN for fewer than two boxes, or if a box has four equal numbers.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    count = len(boxes)
    if count < 2:
        return float("nan")
    centred = boxes - boxes.mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    if not lengths.all():
        return float("nan")
    # Correlations of up to 1 + 1e-16 are cut, as numpy does.
    correlation = np.abs((centred / lengths) @ (centred / lengths).T).clip(0, 1)
    return float((correlation.sum() - count) / (count * (count - 1)))


def correlations(boxes: Iterable[np.ndarray]) -> np.ndarray:
    """Return the correlation of each image that has at least two boxes, in order; NaN where it is not defined."""
    return np.array([macroscopic_correlation(one) for one in boxes if len(one) > 1], np.float64)


def boxes_of_json(path: str | Path, min_score: float = 0.0) -> dict[Any, np.ndarray]:
    """Return the boxes (x, y, w, h) of each image of a COCO file, crowds included, or of a detector's results.

    Args:
        path: annotations, or a list of ``dict(image_id=..., bbox=..., score=...)``.
        min_score: results below it are left out; annotations have no score.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: the file is neither.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnnotationError(f"{path} is no JSON ({error}). Fix: give COCO annotations or results") from error
    found: dict[Any, list] = defaultdict(list)
    if isinstance(content, list):
        for number, result in enumerate(content):
            if not isinstance(result, dict) or not {"image_id", "bbox", "score"} <= result.keys():
                raise AnnotationError(
                    f"{path}: entry {number} has not image_id, bbox and score. Fix: give COCO annotations or results"
                )
            if result["score"] >= min_score:
                found[result["image_id"]].append(result["bbox"])
    else:
        for image, annotations in checked(content, str(path), pictures=False).annotations.items():
            found[image] = [annotation["bbox"] for annotation in annotations]
    return {image: np.asarray(boxes, np.float64) for image, boxes in found.items()}


@dataclass(frozen=True)
class Distribution:
    """The correlations of many images.

    Attributes:
        images: with a defined correlation.
        undefined: images with two boxes or more whose correlation is not defined.
        mean, median: over the former; NaN if there is none.
        edges: (bins + 1,) bounds between 0 and 1.
        density: (bins,) share of the images per unit of correlation.
    """

    images: int
    undefined: int
    mean: float
    median: float
    edges: np.ndarray
    density: np.ndarray


def distribution(values: np.ndarray, bins: int = 50) -> Distribution:
    """Return the histogram of correlations."""
    defined = values[np.isfinite(values)]
    counts, edges = np.histogram(defined, bins, (0.0, 1.0))
    share = counts / max(len(defined), 1)
    mean, median = (float(defined.mean()), float(np.median(defined))) if len(defined) else (float("nan"),) * 2
    return Distribution(len(defined), len(values) - len(defined), mean, median, edges, share * bins)


def draw(values: dict[str, np.ndarray], path: str | Path, bins: int = 50) -> None:
    """Draw the histograms of several sets of correlations, by name, with a smoothed density each, into a picture."""
    from matplotlib.figure import Figure  # both are slow to import, and registering the metric needs neither
    from scipy.stats import gaussian_kde

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    points = np.linspace(0, 1, 400)
    for number, (name, one) in enumerate(values.items()):
        histogram = distribution(one, bins)
        colour = f"C{number}"
        label = f"{name} ({histogram.images} images, mean {histogram.mean:.3f})"
        axes.stairs(histogram.density, histogram.edges, fill=True, alpha=0.35, color=colour, label=label)
        defined = one[np.isfinite(one)]
        if len(np.unique(defined)) > 1:  # one value has no width to smooth with
            axes.plot(points, gaussian_kde(defined)(points), color=colour)
    axes.set(xlabel="macroscopic correlation", ylabel="density of images", xlim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=150)


@METRICS.register_module()
class MacroscopicCorrelation(BaseMetric):
    """The mean correlation of the detections of an image, beside other metrics.

    Gives ``mc/mean`` and ``mc/images``, those with at least two detections.

    Args:
        min_score: detections below it do not count.
        **kwargs: of mmengine's ``BaseMetric``.
    """

    default_prefix = "mc"

    def __init__(self, min_score: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_score = min_score

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Take the detections of a batch."""
        for sample in data_samples:
            found = sample["pred_instances"]
            boxes = found["bboxes"][found["scores"] >= self.min_score].detach().cpu().double().numpy()
            boxes[:, 2:] -= boxes[:, :2]
            self.results.append(macroscopic_correlation(boxes))

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average over the images."""
        found = distribution(np.asarray(results, np.float64))
        return dict(mean=found.mean, images=float(found.images))
