"""A split of a scene that comes with one label map and no split of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mm_meta_transformer.datasets.hyperspectral_scene import SceneError

# Indian Pines' fixed split trains on 695 pixels: so many of each class, and so many of one that has no more than these
_USUAL, _OF_FEW = 50, 15


@dataclass(frozen=True)
class SeededSplit:
    """Training pixels drawn class by class from a seed; the other labelled pixels are for testing.

    The same seed gives the same pixels everywhere, but they are not those of the paper's fixed split, so that results
    cannot be compared with its own.

    Attributes:
        file: the ``.mat`` file of the label map.
        seed: of the draw.
        per_class: training pixels of every class, or one number for each; ``None`` for 50, and 15 of a class that has
            no more than 50: with the 16 classes of Indian Pines 695 pixels, as many as in the fixed split.
    """

    file: Path
    seed: int
    per_class: int | tuple[int, ...] | None = None

    def maps(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the label maps ``(H, W)`` of training and testing, 0 where a pixel is not of that part.

        Args:
            labels: ``(H, W)``, 0 for pixels without a class.

        Raises:
            SceneError: there are counts for another number of classes, or a class has too few pixels for both parts.
        """
        train = np.zeros_like(labels)
        for number, wanted in enumerate(self._wanted(labels), 1):
            places = np.flatnonzero(labels == number)
            if not 0 < wanted < len(places):
                raise SceneError(
                    f"{self.file}: of the {len(places)} pixels of class {number}, {wanted} cannot be trained on and "
                    "some tested. Fix: train_per_class of the data set"
                )
            draw = np.random.Generator(np.random.PCG64([self.seed, number]))
            train.flat[places[draw.random(len(places)).argsort()[:wanted]]] = number
        return train, np.where(train > 0, 0, labels)

    def _wanted(self, labels: np.ndarray) -> list[int]:
        counts = np.bincount(labels.ravel())[1:].tolist()
        if self.per_class is None:
            return [_USUAL if count > _USUAL else _OF_FEW for count in counts]
        if isinstance(self.per_class, int):
            return [self.per_class] * len(counts)
        if len(self.per_class) != len(counts):
            raise SceneError(f"{self.file} has {len(counts)} classes, train_per_class {len(self.per_class)} numbers")
        return list(self.per_class)
