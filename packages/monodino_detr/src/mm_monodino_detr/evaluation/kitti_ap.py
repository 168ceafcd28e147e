"""KITTI's average precision of 2D boxes, bird's-eye views, 3D boxes and orientations, in numpy alone.

Geiger et al., Are we ready for autonomous driving? The KITTI vision benchmark suite (CVPR 2012), with 11 and with 40
recall points (Simonelli et al., ICCV 2019). Overlaps are computed once for all classes, levels and thresholds, and all
score thresholds of a curve are matched together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mm_monodino_detr.evaluation.kitti_files import DONT_CARE, KittiObjects
from mm_monodino_detr.evaluation.rotated_intersection import rotated_intersection

POINTS = 41
"""Recall positions of a curve, 0 to 1."""
MEASURES = ("2D", "BEV", "3D")
STRICT, LOOSE = 0, 1
"""The two sets of least overlaps."""
UNKNOWN_ALPHA = -10


@dataclass(frozen=True)
class Level:
    """Which ground truth counts: at most so hard to see and between two distances; what is harder is ignored.

    Attributes:
        name: in tables and keys.
        height: boxes must be higher, in pixels; lower detections of whatever class are ignored.
        occluded: the most.
        truncated: the most.
        nearest, farthest: distances of the location from the camera in metres; the farther one is included.
    """

    name: str
    height: float
    occluded: int
    truncated: float
    nearest: float = -1.0
    farthest: float = float("inf")


DIFFICULTIES = (Level("easy", 40, 0, 0.15), Level("moderate", 25, 1, 0.3), Level("hard", 25, 2, 0.5))
DISTANCES = (
    Level("30m", 25, 2, 0.5, farthest=30),
    Level("50m", 25, 2, 0.5, nearest=30, farthest=50),
    Level("70m", 25, 2, 0.5, nearest=50, farthest=70),
)


@dataclass(frozen=True)
class ClassRules:
    """How a class is matched.

    Attributes:
        neighbour: ground truth of this class is ignored, not missed and not wrong; None for none.
        overlaps: ``(2, 3)`` strict and loose sets of the overlaps in 2D, BEV and 3D that a match exceeds.

    Raises:
        ValueError: the overlaps are not two sets of three numbers.
    """

    neighbour: str | None = None
    overlaps: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0.5, 0.5, 0.5), (0.5, 0.25, 0.25))

    def __post_init__(self) -> None:
        if np.asarray(self.overlaps, np.float64).shape != (2, 3):
            raise ValueError(
                f"overlaps={self.overlaps} are not two sets of three. Fix: like ((0.7, 0.7, 0.7), (0.7, 0.5, 0.5)), "
                "strict and loose, each in 2D, BEV and 3D"
            )


RULES: Mapping[str, ClassRules] = {
    "car": ClassRules("van", ((0.7, 0.7, 0.7), (0.7, 0.5, 0.5))),
    "pedestrian": ClassRules("person_sitting"),
}
"""By the class's name in lower case; other classes have no neighbour and the overlaps of a pedestrian.

KITTI's benchmark is of Car, Pedestrian and Cyclist: numbers of any other class, Van and Truck too, are by these rules
and no one else's.
"""


@dataclass(frozen=True)
class Curves:
    """The curves of one class.

    Attributes:
        name: of the class.
        levels: names of the L levels.
        overlaps: as in :class:`ClassRules`.
        precision: by measure (2D, BEV, 3D) ``(L, 2, 41)``: the best precision at each recall or a higher one, for the
            strict and the loose overlaps; 0 where the recall is not reached.
        similarity: the same of the orientations (AOS); None where the results have none.
        ground_truth: ``(L,)`` objects that count.
    """

    name: str
    levels: tuple[str, ...]
    overlaps: tuple[tuple[float, float, float], tuple[float, float, float]]
    precision: dict[str, np.ndarray]
    similarity: np.ndarray | None
    ground_truth: np.ndarray

    def measures(self) -> dict[str, np.ndarray]:
        """Return the curves by measure, with ``AOS`` where there is one."""
        return self.precision | ({} if self.similarity is None else {"AOS": self.similarity})

    def average(self, measure: str, points: int = 40, overlaps: int = STRICT) -> np.ndarray:
        """Return average precisions ``(L,)`` in per cent.

        Args:
            measure: ``2D``, ``BEV``, ``3D`` or ``AOS``.
            points: 40 (recalls 1/40 to 1) or 11 (recalls 0, .1 to 1).
            overlaps: ``STRICT`` or ``LOOSE``.
        """
        curve = self.measures()[measure][:, overlaps]
        taken = {40: curve[:, 1:], 11: curve[:, ::4]}[points]
        return taken.sum(1) / points * 100


class KittiEvaluation:
    """Overlaps of labels and results, and the curves of any class and level from them.

    Args:
        labels: ground truth of each frame, DontCare and all classes included.
        results: of the same frames.
        rules: of classes, by the name in lower case, beside or instead of ``RULES``.

    Raises:
        ValueError: the numbers of frames differ, or results have no scores.
    """

    def __init__(
        self,
        labels: Sequence[KittiObjects],
        results: Sequence[KittiObjects],
        rules: Mapping[str, ClassRules] | None = None,
    ) -> None:
        if len(labels) != len(results):
            raise ValueError(f"labels of {len(labels)} frames and results of {len(results)}. Fix: one for each frame")
        for number, result in enumerate(results):
            if result.scores is None:
                raise ValueError(f"the results of frame {number} have no scores. Fix: read them with scored=True")
        self.rules = RULES | {name.lower(): one for name, one in (rules or {}).items()}
        self.truth = _Objects(labels)
        self.found = _Objects(results)
        self.scores = np.concatenate([np.empty(0), *(result.scores for result in results)])
        # As the official code does it: one result's first angle speaks for all of them.
        first = next((result for result in results if len(result)), None)
        self.has_angles = first is not None and first.alphas[0] != UNKNOWN_ALPHA
        stuff = self.truth.names == DONT_CARE
        self.pairs = _overlaps(self.truth, self.found, np.flatnonzero(~stuff))
        self.covered = _covered(self.truth, self.found, np.flatnonzero(stuff))

    def curves(self, name: str, levels: Sequence[Level] = DIFFICULTIES) -> Curves:
        """Return the curves of a class, whose name is compared in lower case."""
        rules = self.rules.get(name.lower(), ClassRules())
        shape = (len(levels), 2, POINTS)
        precision = {measure: np.zeros(shape) for measure in MEASURES}
        similarity = np.zeros(shape)
        counted = np.zeros(len(levels), np.int64)
        for row, level in enumerate(levels):
            truth, found = self._states(name.lower(), rules, level)
            counted[row] = (truth == _COUNTS).sum()
            for column, measure in enumerate(MEASURES):
                for kind in (STRICT, LOOSE):
                    least = rules.overlaps[kind][column]
                    if kind == LOOSE and least == rules.overlaps[STRICT][column]:
                        precision[measure][row, LOOSE] = precision[measure][row, STRICT]
                        if measure == "2D":
                            similarity[row, LOOSE] = similarity[row, STRICT]
                        continue
                    curve, orientations = self._curve(truth, found, measure, least)
                    precision[measure][row, kind] = curve
                    if measure == "2D":
                        similarity[row, kind] = orientations
        return Curves(
            name=name,
            levels=tuple(level.name for level in levels),
            overlaps=rules.overlaps,
            precision=precision,
            similarity=similarity if self.has_angles else None,
            ground_truth=counted,
        )

    def _states(self, name: str, rules: ClassRules, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """Return the states of all labels ``(G,)`` and detections ``(N,)``."""
        truth, distance = self.truth, np.linalg.norm(self.truth.locations, axis=1)
        own, neighbour = truth.names == name, truth.names == (rules.neighbour or "").lower()
        fair = (
            (truth.occluded <= level.occluded)
            & (truth.truncated <= level.truncated)
            & (truth.heights > level.height)
            & (distance > level.nearest)
            & (distance <= level.farthest)
        )
        truth_state = np.where(own & fair, _COUNTS, np.where(own | neighbour, _IGNORED, _OUT))
        # A small detection of another class is ignored, not out of the game: it may take a label.
        small = np.abs(self.found.heights) < level.height
        found_state = np.where(small, _IGNORED, np.where(self.found.names == name, _COUNTS, _OUT))
        return truth_state, found_state

    def _curve(self, truth: np.ndarray, found: np.ndarray, measure: str, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Return precision and orientation similarity ``(41,)``, each the best of its recall and the higher ones.

        Where nothing counts at a threshold, neither true nor false, both are 0. Officially 0 / 0 is NaN there, which
        spreads to all lower recalls.
        """
        overlaps = self.pairs.overlaps[measure]
        taken = (overlaps > least) & (truth[self.pairs.truth] != _OUT) & (found[self.pairs.found] != _OUT)
        pairs = (self.pairs.truth[taken], self.pairs.found[taken])
        candidates = _Candidates(pairs, overlaps[taken], self.truth.frames, truth, found, self.scores)
        thresholds = recall_thresholds(candidates.true_scores(), int((truth == _COUNTS).sum()))
        angles = np.append(self.found.alphas[candidates.found], 0)
        matches = candidates.at(thresholds, self.truth.alphas[candidates.truth], angles)
        # False are counted detections at or above the threshold that no label took.
        counted = found == _COUNTS
        false = _at_least(self.scores[counted], thresholds) - matches.taken
        if measure == "2D":
            excused = counted & (self.covered > least)
            lone = excused.copy()
            lone[candidates.found] = False
            false -= _at_least(self.scores[lone], thresholds)
            false -= (matches.free & np.append(excused[candidates.found], False)).sum(1)
        total = matches.true + false
        curves = np.zeros((2, POINTS))
        for row, sums in enumerate((matches.true, matches.similarity)):
            curves[row, : len(thresholds)] = np.divide(sums, total, out=np.zeros(len(total)), where=total > 0)
        best = np.maximum.accumulate(curves[:, ::-1], 1)[:, ::-1]
        return best[0], best[1]


_COUNTS, _IGNORED, _OUT = 0, 1, -1


def recall_thresholds(scores: np.ndarray, counted: int) -> np.ndarray:
    """Return the scores, falling, at which the recall passes 0, 1/40, 2/40 and so on; at most 41.

    Args:
        scores: of the true positives, in any order.
        counted: ground truth that counts.
    """
    scores = np.sort(scores)[::-1]
    last = len(scores) - 1
    kept, recall = [], 0.0
    for place, score in enumerate(scores.tolist()):
        left = (place + 1) / counted
        right = (place + 2) / counted if place < last else left
        if place < last and right - recall < recall - left:
            continue
        kept.append(score)
        recall += 1 / (POINTS - 1)
    return np.array(kept)


class _Objects:
    """The objects of all frames, one after the other."""

    def __init__(self, frames: Sequence[KittiObjects]) -> None:
        self.counts = np.array([len(frame) for frame in frames], np.int64)
        self.frames = np.repeat(np.arange(len(frames)), self.counts)
        values = np.concatenate([KittiObjects.none().values, *(frame.values for frame in frames)])
        every = KittiObjects(np.concatenate([KittiObjects.none().names, *(frame.names for frame in frames)]), values)
        self.names = np.char.lower(every.names)
        self.truncated, self.occluded, self.alphas = every.truncated, every.occluded, every.alphas
        self.boxes, self.sizes, self.locations, self.rotations = (
            every.boxes,
            every.sizes,
            every.locations,
            every.rotations,
        )
        self.heights = self.boxes[:, 3] - self.boxes[:, 1]

    def seen_from_above(self) -> np.ndarray:
        """Return ``(N, 5)`` x, z, length, width, rotation."""
        return np.stack(
            [self.locations[:, 0], self.locations[:, 2], self.sizes[:, 2], self.sizes[:, 1], self.rotations], 1
        )


@dataclass(frozen=True)
class _Pairs:
    """Labels and detections of one frame that overlap in any measure, by label and then by detection."""

    truth: np.ndarray
    found: np.ndarray
    overlaps: dict[str, np.ndarray]


def _pairs(truth: _Objects, found: _Objects, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of labels, those of ``rows``, and detections of the same frame."""
    starts = np.cumsum(found.counts) - found.counts
    frames = truth.frames[rows]
    counts = found.counts[frames]
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(rows, counts), np.repeat(starts[frames], counts) + place


def _intersections(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the areas ``(P,)`` that pairs of boxes x1, y1, x2, y2 share."""
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    return sides.clip(0).prod(1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _over_union(shared: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.divide(shared, first + second - shared, out=np.zeros_like(shared), where=shared > 0)


def _overlaps(truth: _Objects, found: _Objects, rows: np.ndarray) -> _Pairs:
    """Return the overlaps of all pairs that have one; 3D is the shared ground area times the shared height."""
    own, other = _pairs(truth, found, rows)
    flat = _over_union(
        _intersections(truth.boxes[own], found.boxes[other]), _areas(truth.boxes)[own], _areas(found.boxes)[other]
    )
    grounds = [objects.seen_from_above() for objects in (truth, found)]
    ground = rotated_intersection(grounds[0][own], grounds[1][other])
    areas = [one[:, 2] * one[:, 3] for one in grounds]
    bottoms = [objects.locations[:, 1] for objects in (truth, found)]  # y points down: the bottom is the larger one
    heights = [objects.sizes[:, 0] for objects in (truth, found)]
    common = np.minimum(bottoms[0][own], bottoms[1][other]) - np.maximum(
        bottoms[0][own] - heights[0][own], bottoms[1][other] - heights[1][other]
    )
    solid = _over_union(ground * common.clip(0), (areas[0] * heights[0])[own], (areas[1] * heights[1])[other])
    values = {"2D": flat, "BEV": _over_union(ground, areas[0][own], areas[1][other]), "3D": solid}
    kept = (flat > 0) | (ground > 0)
    return _Pairs(own[kept], other[kept], {measure: one[kept] for measure, one in values.items()})


def _covered(truth: _Objects, found: _Objects, rows: np.ndarray) -> np.ndarray:
    """Return the largest share of each detection's 2D box ``(N,)`` that lies in a single DontCare box."""
    own, other = _pairs(truth, found, rows)
    shared = _intersections(truth.boxes[own], found.boxes[other])
    shares = np.divide(shared, _areas(found.boxes)[other], out=np.zeros_like(shared), where=shared > 0)
    covered = np.zeros(len(found.frames))
    np.maximum.at(covered, other, shares)
    return covered


def _at_least(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return how many scores are at or above each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


@dataclass(frozen=True)
class _Matches:
    """What labels took at T thresholds.

    Attributes:
        true: ``(T,)`` counted labels with a counted detection.
        similarity: ``(T,)`` sum over those of (1 + cos of the difference of the angles) / 2.
        taken: ``(T,)`` counted detections that any label took.
        free: ``(T, K + 1)`` whether each candidate is at or above the threshold and was not taken.
    """

    true: np.ndarray
    similarity: np.ndarray
    taken: np.ndarray
    free: np.ndarray


class _Candidates:
    """Which detections each label may take; labels choose one after the other, in the order of the file.

    Labels of different frames do not meet, so the first labels of all frames choose at once, then the second ones.

    Args:
        pairs: overlapping labels and detections, sorted by label and then by detection.
        overlaps: of the pairs.
        frames: of all labels.
        truth, found: states of all labels and detections.
        scores: of all detections.

    Attributes:
        truth: ``(M,)`` labels with any candidate.
        found: ``(K,)`` detections that are a candidate.
    """

    def __init__(
        self,
        pairs: tuple[np.ndarray, np.ndarray],
        overlaps: np.ndarray,
        frames: np.ndarray,
        truth: np.ndarray,
        found: np.ndarray,
        scores: np.ndarray,
    ) -> None:
        self.truth, rows, counts = np.unique(pairs[0], return_inverse=True, return_counts=True)
        self.found, columns = np.unique(pairs[1], return_inverse=True)
        nothing = len(self.found)  # what fills the rows of labels with few candidates
        shape = (len(self.truth), int(counts.max(initial=0)))
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.choices = np.full(shape, nothing)
        self.choices[rows, place] = columns
        self.overlaps = np.zeros(shape)
        self.overlaps[rows, place] = overlaps
        self.counts = truth[self.truth] == _COUNTS
        self.valid = np.append(found[self.found] == _COUNTS, False)
        self.scores = np.append(scores[self.found], -np.inf)
        _, sizes = np.unique(frames[self.truth], return_counts=True)
        turn = np.arange(len(self.truth)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.turns = [np.flatnonzero(turn == number) for number in range(int(sizes.max(initial=0)))]

    def true_scores(self) -> np.ndarray:
        """Return the scores of the true positives where each label takes the candidate with the highest score."""
        free = np.ones(len(self.scores), bool)
        free[-1] = False
        found = [np.empty(0)]
        for rows in self.turns:
            choices = self.choices[rows]
            scores = np.where(free[choices], self.scores[choices], -np.inf)
            best = scores.argmax(1)[:, None]
            hit = np.take_along_axis(scores, best, 1)[:, 0] > -np.inf
            chosen = np.take_along_axis(choices, best, 1)[:, 0]
            free[chosen[hit]] = False
            found.append(self.scores[chosen[hit & self.counts[rows] & self.valid[chosen]]])
        return np.concatenate(found)

    def at(self, thresholds: np.ndarray, truth_angles: np.ndarray, found_angles: np.ndarray) -> _Matches:
        """Match at T score thresholds: each label takes the counted candidate with the largest overlap, or else the
        first ignored one.

        Args:
            thresholds: ``(T,)`` scores.
            truth_angles: ``(M,)`` in radians.
            found_angles: ``(K + 1,)``.
        """
        free = self.scores >= thresholds[:, None]  # (T, K + 1)
        true, taken = np.zeros(len(thresholds), np.int64), np.zeros(len(thresholds), np.int64)
        similarity = np.zeros(len(thresholds))
        each = np.arange(len(thresholds))[:, None]
        for rows in self.turns:
            choices = self.choices[rows]
            here = free[:, choices]  # (T, rows, C)
            counted = np.where(here & self.valid[choices], self.overlaps[rows], 0)
            best = counted.argmax(2)
            proper = np.take_along_axis(counted, best[..., None], 2)[..., 0] > 0
            # argmax of truth values is the first one; a counted one here only where a counted one is taken anyway
            place = np.where(proper, best, here.argmax(2))
            hit = proper | here.any(2)
            chosen = np.take_along_axis(np.broadcast_to(choices, here.shape), place[..., None], 2)[..., 0]
            free[each, chosen] &= ~hit
            taken += proper.sum(1)
            right = proper & self.counts[rows]
            true += right.sum(1)
            likeness = (1 + np.cos(truth_angles[rows] - found_angles[chosen])) / 2
            similarity += np.where(right, likeness, 0).sum(1)
        return _Matches(true, similarity, taken, free)
