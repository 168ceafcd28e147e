"""Point clouds, from text and numpy files, folders and arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mm_meta_transformer.datasets.read_cloud import ENDINGS, read_cloud
from mm_meta_transformer.readers.reader import Reader, Sample
from mmrepro.engine.errors import UserError


class CloudReader(Reader):
    """Read clouds: arrays, or files as :func:`.read_cloud` does.

    Columns are x, y, z, and maybe three of colour (0 to 255) or normal; any more are left out. A model of ModelNet40's
    kind takes shapes that fill the unit sphere: others are centred and scaled, with a warning. The test pipeline may
    take the first points only, so the points of a file should be in random order, as in ModelNet40's files.
    """

    modality = "point-cloud"
    options = frozenset({"category"})
    suffixes = ENDINGS

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps, without the annotations."""
        names = [step["type"] for step in pipeline]
        self.scaled = self.model.type == "MetaTransformerPointCls" and "CentrePoints" not in names
        keys = {key for step in pipeline if step["type"] == "PointFeatures" for key in step["keys"]}
        self.coloured = "colours" in keys
        kinds = ((self.model.get("decoder") or {}).get("num_categories"), len(self.model.get("parts") or ()))
        self.categories = range(min(filter(None, kinds), default=0))
        return [{**step, "fields": ()} if step["type"] == "PackMetaInputs" else step for step in pipeline]

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a cloud with its colours, and its category where it has one."""
        info = dataset.get_data_info(number)
        columns = np.concatenate([info[key] for key in ("points", "colours") if key in info], 1)
        return columns, {"category": int(info["category"])} if "category" in info else {}

    def read(self, source: Any, name: str, category: int | None = None) -> Iterator[Sample]:
        """Yield the cloud.

        Args:
            source: a file or an array.
            name: what it is called.
            category: what kind of object it is, where the model tells parts of objects.

        Raises:
            FileNotFoundError: there is no such file.
            CloudError: a file is no such table.
            UserError: an array is no table of finite numbers, has too few columns, or lacks its category, or the model
                knows no categories.
        """
        if isinstance(source, (str, Path)):
            table = read_cloud(source, 6 if self.coloured else 3)
        else:
            try:
                table = np.asarray(source, np.float64)
            except (TypeError, ValueError) as error:
                raise UserError(f"{name} is no table of numbers: {error}. Fix: numbers (N, 3)") from error
        if table.ndim != 2 or table.shape[1] < 3 or not len(table):
            raise UserError(f"{name} is {table.shape}. Fix: a row for each point, with x, y and z")
        if not np.isfinite(table).all():
            raise UserError(f"{name}, row {int((~np.isfinite(table)).any(1).argmax())}: a value is not finite")
        if self.coloured and table.shape[1] < 6:
            raise UserError(
                f"{name} has {table.shape[1]} columns; the model reads colours or normals too. Fix: six columns"
            )
        if self.categories and category not in self.categories:
            raise UserError(f"category={category}: the model needs the kind of object, 0 to {self.categories[-1]}")
        if category is not None and not self.categories:
            raise UserError(f"category={category}: the model knows no kinds of objects. Fix: leave it out")
        points = table[:, :3].astype(np.float32)
        fills = not self.scaled or 0.5 <= np.linalg.norm(points, axis=1).max() <= 1.01  # a part of a shape is smaller
        results = {"path": name, "points": points if fills else _in_unit_sphere(points, name)}
        if table.shape[1] >= 6:
            results["colours"] = table[:, 3:6].astype(np.float32)
        if category is not None:
            results["category"] = np.int64(category)
        yield Sample(name, results, {"points": points}, () if fills else ("centred and scaled to the unit sphere",))


def _in_unit_sphere(points: np.ndarray, name: str) -> np.ndarray:
    warnings.warn(f"{name} does not fill the unit sphere, so it is centred and scaled", stacklevel=4)
    points = points - points.mean(0)
    return points / (np.linalg.norm(points, axis=1).max() or 1)  # all points may be one
