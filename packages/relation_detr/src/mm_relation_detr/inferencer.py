"""Detections in files, folders and arrays, drawn or as tables, and drawings of how the decoder came to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import INFERENCERS, init_default_scope
from torch import nn

from mm_relation_detr.checkpoint import class_names, from_official, is_official
from mm_relation_detr.other_settings import explained
from mm_relation_detr.trace import Trace, traced
from mm_relation_detr.visualization import draw_detections, draw_head_biases, draw_refinement, draw_relations
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers
from mmrepro.detection.detr_coco import classes_of_config, palette_of
from mmrepro.detection.inferencer import PictureDetInferencer
from mmrepro.engine.errors import UserError
from mmrepro.paper_config import read_config
from mmrepro.pictures import Picture, pixels, single
from mmrepro.safe_loading import source_of

DRAWINGS = ("detections", "relations", "heads", "refinement")


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
class RelationDETRInferencer(PictureDetInferencer):
    """mmdet's inferencer, which here reads official files and loads every weight or none.

    Photographs are turned upright, unlike in evaluation, where the annotations are those of the stored pixels. Grey
    pictures, palettes, transparency, CMYK and 16 bits become 8-bit colours.

    Example:
        >>> inferencer = RelationDETRInferencer("relation-detr_r50-4scale_2xb5-12e_coco", "relation_detr_r50.pth")
        >>> inferencer("photographs", out_dir="detections")["predictions"][0]["scores"][:3]
        [0.95, 0.94, 0.93]

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``.
        weights: a checkpoint, ours or an official one, or safetensors; a path or a URL.
        device: such as ``cuda:0``; None for what is there.
        classes: a name for each class score, for files that do not carry them; None for those of the file, of the
            config's test data, or COCO's for 91 and 80 scores of a config on COCO.
        show_progress: draw a progress bar.
        contiguous: of an official file, take the scores of the classes alone, as its converter does.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: the config is another package's, there are no weights, or as many classes as names do not fit.
        CheckpointMismatchError: the checkpoint is another detector's, with the settings that differ, or a key or a
            shape is not the model's.
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        classes: Sequence[str] | None = None,
        show_progress: bool = False,
        contiguous: bool = False,
    ) -> None:
        if weights is None:
            raise UserError("a detector without weights finds nothing. Fix: give weights, a checkpoint's path or URL")
        if isinstance(classes, str):
            raise UserError(f"classes={classes!r} is one text. Fix: classes=({classes!r},) with a name for each score")
        self.classes, self.contiguous = classes, contiguous
        config = read_config("relation_detr", model)
        init_default_scope(config.get("default_scope", "mmdet"))
        super().__init__(config, str(weights), device=device, show_progress=show_progress)

    @staticmethod
    def drawing_of(source: str) -> str:
        """Return the name of a file's drawing: JPEG files are drawn into JPEG, others into PNG."""
        path = Path(source.partition("?")[0])  # of a URL
        return path.name if path.suffix.lower() in (".jpg", ".jpeg") else f"{path.stem}.png"

    def explain(
        self,
        picture: Picture,
        out_dir: str | Path,
        query: int | None = None,
        top: int = 5,
        threshold: float = 0.3,
        layer: int | None = None,
        drawings: Sequence[str] = DRAWINGS,
    ) -> Explanation:
        """Predict one picture and draw how the decoder came to its detections.

        Args:
            picture: a file, or an array (H, W, 3) in uint8, blue first.
            out_dir: folder of the drawings, which begin with the file's name: ``_detections.png``; ``_relations.png``,
                the keys that the relation bias of a query favours in each layer; ``_heads.png``, the bias of each head;
                ``_refinement.png``, the boxes after each layer. The two of the bias lack where no relation is used.
            query: whose relations are drawn; None for the one with the highest score.
            top: how many keys they show.
            threshold: of the scores of the queries that are shown.
            layer: whose heads are drawn, counted from 0; None for the last.
            drawings: which of the four are drawn.

        Raises:
            FileNotFoundError, UserError: the picture cannot be read, or there are several.
            ValueError: there is no such drawing.
            IndexError: there is no such query or layer.
        """
        if unknown := [name for name in drawings if name not in DRAWINGS]:
            raise ValueError(f"no drawing {', '.join(map(repr, unknown))}: they are {', '.join(map(repr, DRAWINGS))}")
        source = single(picture)
        ((_, batch),) = self.preprocess([source])
        shown = pixels(source)
        (sample,), trace = traced(self.model, lambda: self.forward(batch), shown.shape[:2])
        if len(trace.relations):  # before the first drawing
            trace.check(
                len(trace.relations) if layer is None else layer, int(trace.best()[0]) if query is None else query
            )
        stem = Path(source).stem if isinstance(source, str) else "picture"
        rgb, classes = shown[..., ::-1], self.model.dataset_meta["classes"]
        found = sample.pred_instances.numpy()
        draw = dict(
            detections=lambda path: draw_detections(
                rgb, found.bboxes, found.scores, found.labels, path, threshold, classes
            ),
            relations=lambda path: draw_relations(rgb, trace, path, query, top, threshold, classes),
            heads=lambda path: draw_head_biases(rgb, trace, path, layer, threshold, classes=classes),
            refinement=lambda path: draw_refinement(rgb, trace, path, threshold=threshold, classes=classes),
        )
        of_relation = ("relations", "heads")
        wanted = [name for name in DRAWINGS if name in drawings and (len(trace.relations) or name not in of_relation)]
        files = [draw[name](Path(out_dir) / f"{stem}_{name}.png") for name in wanted]
        return Explanation(self.pred2dict(sample), trace, files)

    def _load_weights_to_model(self, model: nn.Module, checkpoint: Mapping[str, Any], cfg: Config) -> None:
        source = source_of(checkpoint)
        state = strip_wrappers(checkpoint, source)
        names = class_names(state, self.contiguous)
        try:
            ours = from_official(state, model, source, contiguous=self.contiguous) if is_official(state) else state
            problems = differences(ours, model)
            if any(problems.values()):
                raise CheckpointMismatchError(source, problems)
        except CheckpointMismatchError as error:
            raise explained(error, state, model, contiguous=self.contiguous) from error
        model.load_state_dict(ours)
        stored = checkpoint.get("meta", {}).get("dataset_meta") or {}
        outputs = model.bbox_head.num_classes
        classes = self.classes or names or stored.get("classes") or classes_of_config(cfg, outputs) or ()
        if len(classes) > outputs:
            raise UserError(
                f"there are {len(classes)} class names and {outputs} class scores. Fix: classes=(...) with one name "
                "for each score"
            )
        rest = [f"class {label}" for label in range(len(classes), outputs)]
        classes = (*classes, *rest)
        model.dataset_meta = {"classes": classes, "palette": palette_of(classes)}
