"""Detections in files, folders and arrays, drawn or as tables, and drawings of how the decoder came to them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmdet.apis import DetInferencer
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import INFERENCERS, init_default_scope
from torch import nn

from mm_relation_detr.checkpoint import class_names, from_official, is_official
from mm_relation_detr.class_rows import COCO_IDS, UNUSED
from mm_relation_detr.datasets.image_files import fault_of_file
from mm_relation_detr.datasets.relation_coco import palette_of
from mm_relation_detr.trace import Trace, traced
from mm_relation_detr.visualization import draw_head_biases, draw_refinement, draw_relations
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers
from mmrepro.engine.errors import UserError
from mmrepro.safe_loading import source_of

Picture = str | Path | np.ndarray


@dataclass(frozen=True)
class Explanation:
    """How a picture's detections came about.

    Attributes:
        prediction: as one entry of ``predictions`` of :class:`RelationDETRInferencer`.
        trace: boxes, scores and relation biases.
        files: the drawings.
    """

    prediction: dict
    trace: Trace
    files: list[Path]


@INFERENCERS.register_module()
class RelationDETRInferencer(DetInferencer):
    """mmdet's inferencer, which here reads official files and loads every weight or none.

    Photographs are turned upright, unlike in evaluation, where the annotations are those of the stored pixels.

    Example:
        >>> inferencer = RelationDETRInferencer("relation-detr_r50-4scale_2xb5-12e_coco", "relation_detr_r50.pth")
        >>> inferencer("photographs", out_dir="detections")["predictions"][0]["scores"][:3]
        [0.95, 0.94, 0.93]

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``.
        weights: a checkpoint, ours or an official one, or safetensors; a path or a URL.
        device: such as ``cuda:0``; None for what is there.
        classes: a name for each class score, for files that do not carry them; None for those of the file, of the
            config's test data, or COCO's for 91 and 80 scores.
        show_progress: draw a progress bar.
        options: of the converter of official files, such as ``contiguous=True``.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: there are no weights, or as many classes as names do not fit.
        CheckpointMismatchError: a key or a shape of the checkpoint is not the model's.
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        classes: tuple[str, ...] | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> None:
        if weights is None:
            raise UserError("a detector without weights finds nothing. Fix: give weights, a checkpoint's path or URL")
        self.classes, self.options = classes, options
        config = model if isinstance(model, Config) else Config.fromfile(papers.find_config("relation_detr", model))
        init_default_scope(config.get("default_scope", "mmdet"))
        super().__init__(copy.deepcopy(config), str(weights), device=device, show_progress=show_progress)

    def explain(
        self,
        picture: Picture,
        out_dir: str | Path,
        query: int | None = None,
        top: int = 5,
        threshold: float = 0.3,
        layer: int | None = None,
    ) -> Explanation:
        """Predict one picture and draw how the decoder came to its detections.

        Args:
            picture: a file, or an array (H, W, 3) in uint8, blue first.
            out_dir: folder of the drawings, which begin with the file's name: ``_relations.png``, the keys that the
                relation bias of a query favours in each layer; ``_heads.png``, the bias of each head;
                ``_refinement.png``, the boxes after each layer. The first two lack where no relation is used.
            query: for the first drawing; None for the one with the highest score.
            top: how many keys it shows.
            threshold: of the scores of the queries that are shown.
            layer: for the second drawing, counted from 0; None for the last.

        Raises:
            FileNotFoundError, UserError: the picture cannot be read.
            IndexError: there is no such query or layer.
        """
        (source,) = self._inputs_to_list(picture)
        pixels = source if isinstance(source, np.ndarray) else mmcv.imread(source)
        ((_, batch),) = self.preprocess([source])
        (sample,), trace = traced(self.model, lambda: self.forward(batch), pixels.shape[:2])
        stem = Path(source).stem if isinstance(source, str) else "picture"
        where = {name: Path(out_dir) / f"{stem}_{name}.png" for name in ("relations", "heads", "refinement")}
        rgb, classes = pixels[..., ::-1], self.model.dataset_meta["classes"]
        files = []
        if len(trace.relations):
            files += [
                draw_relations(rgb, trace, where["relations"], query, top, threshold, classes),
                draw_head_biases(trace, where["heads"], layer, threshold, classes=classes),
            ]
        files.append(draw_refinement(rgb, trace, where["refinement"], threshold=threshold, classes=classes))
        return Explanation(self.pred2dict(sample), trace, files)

    def _load_weights_to_model(self, model: nn.Module, checkpoint: Mapping[str, Any], cfg: Config) -> None:
        source = source_of(checkpoint)
        state = strip_wrappers(checkpoint, source)
        names = None
        if is_official(state):
            names = class_names(state)
            names = names if names is None or not self.options.get("contiguous") else [n for n in names if n != UNUSED]
            state = from_official(state, model, source, **self.options)
        problems = differences(state, model)
        if any(problems.values()):
            raise CheckpointMismatchError(source, problems)
        model.load_state_dict(state)
        stored = checkpoint.get("meta", {}).get("dataset_meta", {})
        outputs = model.bbox_head.num_classes
        classes = self.classes or names or stored.get("classes") or _of_config(cfg) or coco_names(outputs) or ()
        if len(classes) > outputs:
            raise UserError(
                f"there are {len(classes)} class names and {outputs} class scores. Fix: classes=(...) with one name "
                "for each score"
            )
        rest = [f"class {label}" for label in range(len(classes), outputs)]
        classes = (*classes, *rest)
        model.dataset_meta = {"classes": classes, "palette": palette_of(classes)}

    def _init_pipeline(self, cfg: Config) -> Compose:
        for step in cfg.test_dataloader.dataset.pipeline:
            if step["type"].endswith("LoadImageFromFile"):
                step["color_type"] = "color"  # upright, as the drawings are
        return super()._init_pipeline(cfg)

    def _inputs_to_list(self, inputs: Picture | list[Picture]) -> list[str | np.ndarray]:
        given = [inputs] if isinstance(inputs, (str, Path, np.ndarray)) else list(inputs)
        listed = [one for each in given for one in self._expanded(_plain(each))]
        if not listed:
            raise UserError(f"there is no picture in {inputs}. Fix: a file, a folder with pictures, or an array")
        for one in listed:
            _check(one)
        return listed

    def _expanded(self, picture: str | np.ndarray) -> list[str | np.ndarray]:
        """Return the pictures of a folder in the order of their names, or the picture itself."""
        found = super()._inputs_to_list(picture)
        return found if isinstance(picture, np.ndarray) else sorted(found)


def coco_names(outputs: int) -> tuple[str, ...] | None:
    """Return COCO's names for 91 scores (by raw category id, ``none`` where there is no category) or 80, else None."""
    names = CocoDataset.METAINFO["classes"]
    if outputs == len(names):
        return names
    of_id = dict(zip(COCO_IDS, names, strict=True))
    return tuple(of_id.get(number, UNUSED) for number in range(outputs)) if outputs == max(COCO_IDS) + 1 else None


def _of_config(cfg: Config) -> tuple[str, ...] | None:
    """Return the class names that the config's test data states."""
    return (cfg.test_dataloader.dataset.get("metainfo") or {}).get("classes")


def _plain(picture: Picture) -> str | np.ndarray:
    return str(picture) if isinstance(picture, Path) else picture


def _check(picture: str | np.ndarray) -> None:
    """Stop at what would fail later with a message about something else.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is no picture.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise UserError(
                f"an array must be (H, W, 3) in uint8, blue first; this is {picture.shape} in {picture.dtype}"
            )
        return
    if "://" in picture:
        return
    if not Path(picture).is_file():
        raise FileNotFoundError(f"there is no picture {picture}")
    fault = fault_of_file(picture)
    if fault is not None:
        raise UserError(f"{picture} cannot be read: {fault}. Fix: leave it out or write it again")
