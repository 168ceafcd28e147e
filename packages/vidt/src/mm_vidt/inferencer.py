"""Detections with masks in files, folders and arrays, drawn or as tables, and drawings of how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import INFERENCERS, init_default_scope
from torch import nn

from mm_vidt.checkpoint import (
    TRAINING_HEADS,
    class_names_of,
    from_official,
    require_same_model,
    unlike_heads,
    weights_of,
    with_heads_of,
)
from mm_vidt.class_rows import RAW_ROWS
from mm_vidt.trace import Trace, traced
from mm_vidt.visualization import Objects, draw_attention, draw_coefficients, draw_objects, draw_refinement
from mmrepro.checkpoint import CheckpointMismatchError, check_options, differences
from mmrepro.detection.class_space import COCO_IDS
from mmrepro.detection.detr_coco import classes_of_config, palette_of
from mmrepro.detection.inferencer import PictureDetInferencer
from mmrepro.engine.errors import UserError
from mmrepro.paper_config import read_config
from mmrepro.pictures import Picture, pixels, single, stem_of
from mmrepro.safe_loading import source_of

DRAWINGS = ("detections", "refinement", "attention", "coefficients")


@dataclass(frozen=True)
class Explanation:
    """How a picture's detections came about.

    Attributes:
        prediction: as one entry of ``predictions`` of :class:`ViDTInferencer`.
        trace: boxes and scores of all levels, attention, and coefficients of masks.
        files: the drawings.
    """

    prediction: dict
    trace: Trace
    files: list[Path]


@INFERENCERS.register_module()
class ViDTInferencer(PictureDetInferencer):
    """mmdet's inferencer, which here reads official files, loads every weight that predicts or none, and explains.

    Photographs are turned upright, unlike in evaluation, where the annotations are those of the stored pixels. Grey
    pictures, palettes, transparency, CMYK and 16 bits become 8-bit colours. With the config of a training with a
    teacher, the student is what predicts; the teacher is not needed.

    Example:
        >>> inferencer = ViDTInferencer("vidt-plus_swin-nano_300q_8xb2-50e_coco", "vidt_plus_nano_det300.pth")
        >>> sorted(inferencer("photographs", out_dir="detections")["predictions"][0])
        ['bboxes', 'labels', 'masks', 'scores']

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``.
        weights: a checkpoint, ours or an official one, or safetensors; a path or a URL.
        device: such as ``cuda:0``; None for what is there.
        classes: a name for each class score, for files that do not carry them; None for those of the file, of the
            config's test data, or COCO's for 91 and 80 scores of a config on COCO.
        show_progress: draw a progress bar.
        contiguous, num_layers: what to take of the file, see :func:`mm_vidt.checkpoint.from_official`; the config's
            classes and layers follow.
        drop_heads: leave out the file's head for mask vectors if the config's detector has none. Those of training
            alone, for overlaps and token labels, may always be in one of the two only.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: the config is another package's, there are no weights, or as many classes as names do not fit.
        ValueError: an option is not of its type.
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
        num_layers: int | None = None,
        drop_heads: bool = False,
    ) -> None:
        if weights is None:
            raise UserError("a detector without weights finds nothing. Fix: give weights, a checkpoint's path or URL")
        if isinstance(classes, str):
            raise UserError(f"classes={classes!r} is one text. Fix: classes=({classes!r},) with a name for each score")
        self.classes = classes
        self.drop_heads = drop_heads
        self.options: dict[str, Any] = dict(contiguous=contiguous, num_layers=num_layers)
        check_options(self.options, from_official)
        config = read_config("vidt", model)
        config.merge_from_dict(_changes(config, contiguous, num_layers))
        init_default_scope(config.get("default_scope", "mmdet"))
        super().__init__(config, str(weights), device=device, show_progress=show_progress)

    def explain(
        self,
        picture: Picture,
        out_dir: str | Path,
        detection: int | None = None,
        threshold: float = 0.3,
        drawings: Sequence[str] = DRAWINGS,
    ) -> Explanation:
        """Predict one picture and draw how its detections came about.

        Args:
            picture: a file, or an array (H, W, 3) in uint8, blue first.
            out_dir: folder of the drawings, which begin with the file's name: ``_detections.png``, boxes and masks;
                ``_refinement.png``, the boxes at each level, of the body alone and after each decoder layer;
                ``_attention.png``, where a detection's [DET] token looks in the cross stages; ``_coefficients.png``,
                its mask from some and from all coefficients. What the detector does not have is left out.
            detection: of the last two, its place in the prediction; None for the one with the highest score.
            threshold: of the scores of the detections that are shown.
            drawings: which of the four are drawn.

        Raises:
            FileNotFoundError, UserError: the picture cannot be read, or there are several.
            ValueError: there is no such drawing.
            IndexError: there is no such detection.
        """
        if unknown := [name for name in drawings if name not in DRAWINGS]:
            raise ValueError(f"no drawing {', '.join(map(repr, unknown))}: they are {', '.join(map(repr, DRAWINGS))}")
        source = single(picture)
        ((_, batch),) = self.preprocess([source])
        shown = pixels(source)
        (sample,), trace = traced(self.model, lambda: self.forward(batch), shown.shape[:2])
        chosen = int(trace.scores[-1].argmax()) if detection is None else detection
        trace.check(chosen)  # before the first drawing
        rgb, classes = shown[..., ::-1], self.model.dataset_meta["classes"]
        has = dict(
            detections=True,
            refinement=len(trace.boxes) > 1,
            attention=bool(trace.attention),
            coefficients=trace.vectors is not None,
        )
        objects = Objects.predicted(sample)
        draw = dict(
            detections=lambda path: draw_objects(rgb, {"predicted": objects}, path, threshold, classes),
            refinement=lambda path: draw_refinement(rgb, trace, path, threshold, classes=classes),
            attention=lambda path: draw_attention(rgb, trace, path, chosen, classes),
            coefficients=lambda path: draw_coefficients(
                rgb, trace, self.model.bbox_head.criterion.mask_coder, path, chosen, classes=classes
            ),
        )
        stem = stem_of(source) if isinstance(source, str) else "picture"
        wanted = [name for name in DRAWINGS if name in drawings and has[name]]
        files = [draw[name](Path(out_dir) / f"{stem}_{name}.png") for name in wanted]
        return Explanation(self.pred2dict(sample), trace, files)

    def _load_weights_to_model(self, model: nn.Module, checkpoint: Mapping[str, Any], cfg: Config) -> None:
        source = source_of(checkpoint)
        kept = weights_of(checkpoint, **self.options)
        heads = [
            setting
            for setting, there in unlike_heads(model, kept).items()
            if setting in TRAINING_HEADS or (there and self.drop_heads)
        ]
        require_same_model(model, checkpoint, [f"bbox_head.{setting}" for setting in heads], kept, **self.options)
        state = with_heads_of(model, kept, heads)
        if left := [key for key in kept if key not in state]:
            print_log(f"{source}: {len(left)} weights are left out: {', '.join(left)}", "current")
        if absent := [key for key in state if key not in kept]:
            print_log(
                f"{source}: {len(absent)} weights are absent, and no prediction uses them: {', '.join(absent)}",
                "current",
            )
        problems = differences(state, model)
        if any(problems.values()):
            raise CheckpointMismatchError(source, problems)
        model.load_state_dict(state)
        outputs = model.bbox_head.num_classes
        named = self.classes or class_names_of(checkpoint, self.options["contiguous"])
        classes = named or classes_of_config(cfg, outputs) or ()
        if len(classes) > outputs:
            raise UserError(
                f"there are {len(classes)} class names and {outputs} class scores. Fix: classes=(...) with one name "
                "for each score"
            )
        classes = (*classes, *(f"class {label}" for label in range(len(classes), outputs)))
        model.dataset_meta = {"classes": classes, "palette": palette_of(classes)}


def _changes(config: Config, contiguous: bool, num_layers: int | None) -> dict[str, Any]:
    """Return what follows for a config from taking fewer layers, or COCO's 80 classes instead of 91 rows."""
    changes: dict[str, Any] = {}
    decodes = "neck" in config.model
    if num_layers is not None:
        if not decodes:
            raise UserError(f"num_layers={num_layers}: a detector without neck has no decoder. Fix: leave it out")
        changes["model.decoder.num_layers"] = num_layers
    if contiguous and config.model.bbox_head.num_classes == RAW_ROWS:
        changes["model.bbox_head.num_classes"] = len(COCO_IDS)
        if decodes:
            changes["model.bbox_head.labels"] = "contiguous"
    return changes
