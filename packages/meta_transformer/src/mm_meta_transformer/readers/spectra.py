"""Hyperspectral scenes, every pixel of which is classified, and spectra of single pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mm_meta_transformer.datasets.hyperspectral_scene import mirrored, pixel_bands, read_variables, scaled
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class SpectrumReader(Reader):
    """Read scenes: ``.mat`` files or arrays ``(H, W, bands)``; or spectra ``(bands,)`` or ``(N, bands)``.

    A scene's bands are scaled by its own smallest and largest values, as in training; spectra by those of the training
    scene, which the checkpoint says, and only models of single pixels can read them.
    """

    modality = "hyperspectral"
    options = frozenset({"key"})
    suffixes = (".mat",)

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps."""
        self.patch_size, self.near_bands = self.dataset.get("patch_size", 1), self.dataset.get("near_bands", 1)
        self.bands = self.model.tokenizer.num_bands
        self.keys = self.dataset.get("keys", ("input",))[:1]
        return pipeline

    def read(self, source: Any, name: str, key: str | None = None) -> Iterator[Sample]:
        """Yield the scene, whose ``raw`` has ``scene`` (H, W, bands), or the spectra, whose ``raw`` has ``spectrum``.

        Args:
            source: a file or an array.
            name: what it is called.
            key: the scene's variable in a file; by default that of the config's data set.

        Raises:
            FileNotFoundError: there is no such file.
            SceneError: it is no MATLAB file, or lacks the variable.
            UserError: it has another number of bands or of axes, or a value that is not finite.
        """
        is_file = isinstance(source, (str, Path))
        keys = self.keys if key is None else (key,)
        array = (
            read_variables(existing(source), keys, "key=, the scene's variable")[0] if is_file else np.asarray(source)
        )
        if array.ndim not in (1, 2, 3) or array.dtype.kind not in "iuf" or 0 in array.shape:
            raise UserError(
                f"{name} is {array.shape} in {array.dtype}. Fix: a scene (H, W, bands) or spectra (N, bands)"
            )
        if array.shape[-1] != self.bands:
            raise UserError(
                f"{name} has {array.shape[-1]} bands, the model reads {self.bands}. "
                "Fix: the same bands as in training, the last axis"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{name} holds values that are not finite. Fix: repair or leave out those pixels")
        if array.ndim == 3:
            flat = int((array.min((0, 1)) == array.max((0, 1))).sum())
            results = {"picture": mirrored(scaled(array, name), self.patch_size), "path": name}
            yield Sample(name, results, {"scene": array}, (f"{flat} bands of one value set to 0",) if flat else ())
            return
        if self.patch_size > 1:
            raise UserError(
                f"the model reads patches of {self.patch_size} pixels, not spectra. Fix: a scene (H, W, bands)"
            )
        low, high = (np.array(self.facts[side]) for side in ("low", "high"))
        spectra = np.atleast_2d(array)
        for number, spectrum in enumerate(spectra):
            picture = ((spectrum - low) / np.where(low == high, 1.0, high - low)).astype(np.float32)[None, None]
            one = f"{name}_{number}" if len(spectra) > 1 else name
            yield Sample(one, {"bands": self._bands(picture, 0, 0), "path": one}, {"spectrum": spectrum})

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return the spectrum of a pixel."""
        info = dataset.get_data_info(number)
        return read_variables(Path(dataset.ann_file), self.keys)[0][info["row"], info["column"]], {}

    def pixels(self, sample: Sample) -> Iterator[dict[str, Any]]:
        """Yield every pixel of a scene as the data set would give it, row by row."""
        for row, column in np.ndindex(sample.raw["scene"].shape[:2]):
            bands = self._bands(sample.results["picture"], row, column)
            yield self.pipeline({"bands": bands, "row": row, "column": column, "path": sample.name})

    def _bands(self, picture: np.ndarray, row: int, column: int) -> np.ndarray:
        return np.ascontiguousarray(pixel_bands(picture, row, column, self.patch_size, self.near_bands))
