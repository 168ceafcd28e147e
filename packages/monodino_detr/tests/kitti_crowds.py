"""The time that the metric takes: label and result files of many frames, drawn at random, as many as KITTI's val."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmdet.registry import METRICS

from mm_monodino_detr.evaluation.ap_table import averages
from mm_monodino_detr.evaluation.kitti_files import read_objects, read_split
from mm_monodino_detr.evaluation.kitti_folders import read_folders
from mmrepro.testing.bench import Table

FRAMES, DETECTIONS = 3769, 30
"""Of KITTI's val split, and of a detector that is generous with low scores."""
LABELS = 7  # of a frame, DontCare among them: about as many as in KITTI
KINDS = ("Car", "Pedestrian", "Cyclist", "Van", "DontCare")
CLASSES = ("Pedestrian", "Car", "Cyclist")
RUNS = 3
_SHARES = (0.56, 0.09, 0.05, 0.08, 0.22)
_SIZES = {"Car": (1.5, 1.6, 3.9), "Pedestrian": (1.8, 0.7, 0.8), "Cyclist": (1.7, 0.6, 1.8), "Van": (2.2, 1.9, 5.1)}
_FOCAL, _MIDDLE = 721.5, np.array([609.6, 172.9])


def measure(frames: int = FRAMES, detections: int = DETECTIONS) -> Table:
    """Return how long the average precisions of all classes, levels, measures and both sets of overlaps take."""
    with TemporaryDirectory() as root:
        folders = write_crowds(Path(root), frames, detections)
        samples = samples_of(*folders)
        ways = {
            "`kitti_eval`: label and result files read": lambda: from_files(*folders),
            "`KittiMetric3D`: detections in memory, label files read": lambda: from_memory(samples),
        }
        rows = [(way, *map("{:.1f}".format, _seconds(evaluate))) for way, evaluate in ways.items()]
    note = (
        f"{frames:,} generated frames of {LABELS} labels and {detections} detections each: pedestrians, cars and "
        "cyclists, AP-2D, AP-BEV, AP3D and AOS, three levels, strict and loose overlaps, 11 and 40 recalls. Medians "
        f"of {RUNS} runs in one process, without its start."
    )
    return Table(("from", "seconds", "CPU seconds"), rows, note)


def from_files(labels: Path, results: Path, split: Path) -> dict[str, float]:
    """Return all average precisions as the command ``kitti_eval`` finds them."""
    evaluation = read_folders(labels, results, split).evaluation
    found: dict[str, float] = {}
    for name in CLASSES:
        found |= averages(evaluation.curves(name))
    return found


def from_memory(samples: list[dict]) -> dict[str, float]:
    """Return all average precisions as an evaluation during training finds them."""
    metric = METRICS.build(dict(type="KittiMetric3D"))
    metric.dataset_meta = dict(classes=CLASSES)
    for sample in samples:
        metric.process(None, [sample])
    return metric.compute_metrics(metric.results)


def samples_of(labels: Path, results: Path, split: Path) -> list[dict]:
    """Return what a detector would give: the detections of each frame."""
    samples = []
    for frame in read_split(split):
        found = read_objects(results / f"{frame}.txt", scored=True)
        detections = dict(
            labels=torch.tensor([CLASSES.index(name) for name in found.names]),
            scores=torch.from_numpy(found.scores),
            bboxes=torch.from_numpy(found.boxes),
            bboxes_3d=torch.from_numpy(found.boxes_3d),
            alphas=torch.from_numpy(found.alphas),
        )
        samples.append(dict(img_id=frame, label_path=str(labels / f"{frame}.txt"), pred_instances=detections))
    return samples


def _seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of the time on the clock and of the process's CPU time."""
    taken = []
    for _ in range(RUNS):
        starts = time.perf_counter(), time.process_time()
        function()
        taken.append((time.perf_counter() - starts[0], time.process_time() - starts[1]))
    clocks, processors = zip(*taken, strict=True)
    return median(clocks), median(processors)


def write_crowds(root: Path, frames: int = FRAMES, detections: int = DETECTIONS) -> tuple[Path, Path, Path]:
    """Write ``label_2/``, ``results/`` and ``val.txt``; return the three paths.

    Half of the detections are moved labels, so that curves are long; the others stand anywhere.
    """
    draw = np.random.Generator(np.random.PCG64(0))
    labels, results, split = root / "label_2", root / "results", root / "val.txt"
    for folder in (labels, results):
        folder.mkdir(parents=True)
    names = [f"{number:06d}" for number in range(frames)]
    for name in names:
        kinds = draw.choice(KINDS, LABELS, p=_SHARES).tolist()
        places = _places(draw, LABELS)
        (labels / f"{name}.txt").write_text("".join(map(_label, kinds, places, draw.random(LABELS).tolist())))
        real = [(kind, place) for kind, place in zip(kinds, places, strict=True) if kind in CLASSES]
        moved = [(kind, _moved(draw, place)) for kind, place in (real * detections)[: detections // 2]]
        kinds = draw.choice(KINDS[:3], detections - len(moved)).tolist()
        free = list(zip(kinds, _places(draw, len(kinds)), strict=True))
        scores = draw.random(detections) ** 2
        scores[: len(moved)] = scores[: len(moved)] * 0.5 + 0.5
        lines = [_line(*one, f"{score:.2f}") for one, score in zip(moved + free, scores.tolist(), strict=True)]
        (results / f"{name}.txt").write_text("".join(lines))
    split.write_text("\n".join(names))
    return labels, results, split


def _places(draw: np.random.Generator, count: int) -> list[np.ndarray]:
    """Return x, y, z and rotation of objects in front of the camera."""
    depth = draw.uniform(5, 65, count)
    across = draw.uniform(-0.7, 0.7, count) * depth
    return list(np.stack([across, draw.normal(1.65, 0.1, count), depth, draw.uniform(-np.pi, np.pi, count)], 1))


def _moved(draw: np.random.Generator, place: np.ndarray) -> np.ndarray:
    return place + draw.normal(0, 1, 4) * [0.15, 0.05, 0.012 * place[2], 0.1]


def _label(kind: str, place: np.ndarray, hidden: float) -> str:
    if kind != "DontCare":
        return _line(kind, place, truncated="0.00", occluded=str(int(hidden * 3)))
    box = " ".join(f"{value:.2f}" for value in _box(place, _SIZES["Van"]))
    return f"DontCare -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10\n"


def _line(kind: str, place: np.ndarray, score: str = "", truncated: str = "0.0", occluded: str = "0") -> str:
    size = _SIZES[kind]
    alpha = place[3] - np.arctan2(place[0], place[2])
    numbers = " ".join(f"{value:.2f}" for value in (alpha, *_box(place, size), *size, *place))
    return f"{kind} {truncated} {occluded} {numbers} {score}".rstrip() + "\n"


def _box(place: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    """Return a 2D box about as large as the object looks."""
    scale = _FOCAL / place[2]
    half = scale * size[2] * 0.4
    centre, bottom = place[:2] * scale + _MIDDLE
    return np.array([centre - half, bottom - scale * size[0], centre + half, bottom])
