"""Detections in files, folders and arrays, drawn or as tables, and drawings of how the decoder came to them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmdet.apis import DetInferencer
from mmdet.apis.det_inferencer import IMG_EXTENSIONS
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import InferencerLoader
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import INFERENCERS, init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import nn

from mm_relation_detr.checkpoint import class_names, from_official, is_official
from mm_relation_detr.class_rows import COCO_IDS, UNUSED
from mm_relation_detr.datasets.image_files import fault_of_file
from mm_relation_detr.datasets.relation_coco import palette_of
from mm_relation_detr.other_settings import explained
from mm_relation_detr.trace import Trace, traced
from mm_relation_detr.visualization import draw_detections, draw_head_biases, draw_refinement, draw_relations
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers
from mmrepro.engine.errors import UserError
from mmrepro.safe_loading import source_of

Picture = str | Path | np.ndarray
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
class RelationDETRInferencer(DetInferencer):
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
        config = _config(model)
        init_default_scope(config.get("default_scope", "mmdet"))
        super().__init__(config, str(weights), device=device, show_progress=show_progress)

    def __call__(
        self, inputs: Picture | Iterable[Picture], batch_size: int = 1, out_dir: str | Path = "", **options: Any
    ) -> dict:
        """Return the detections of pictures, the best first, and write drawings and tables.

        Args:
            inputs: a file, a folder, a URL, an array ``(H, W, 3)`` in uint8, blue first, or a list of these.
            batch_size: how many pictures go through the network at once. Those of different sizes are padded, which
                changes scores a little; the published protocol has 1.
            out_dir: folder of the drawings, in ``vis``, and with ``no_save_pred=False`` of tables, in ``preds``. JPEG
                files are drawn into JPEG, others into PNG; results of arrays have numbers as names. Empty for neither.
            options: mmdet's, such as ``pred_score_thr=0.3`` for the drawings, or ``return_vis=True``.

        Returns:
            ``predictions``, for each picture ``bboxes`` as (x1, y1, x2, y2) in its pixels, ``scores`` and ``labels``,
            which number ``model.dataset_meta["classes"]``; and ``visualization``, drawings if asked for.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: something is no picture, cannot be read, or would be written under another's name.
        """
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size}. Fix: 1 or more")
        listed = self._inputs_to_list(inputs)
        if out_dir:
            tables = not options.get("no_save_pred", True)
            _check_names([one for one in listed if isinstance(one, str)], _table_of if tables else _drawing_of)
        return super().__call__(listed, batch_size, out_dir=str(out_dir), **options)

    def visualize(
        self,
        inputs: Sequence[str | np.ndarray],
        preds: Sequence[DetDataSample],
        return_vis: bool = False,
        no_save_vis: bool = False,
        img_out_dir: str = "",
        **drawn: Any,
    ) -> list[np.ndarray] | None:
        """Draw detections. Not mmdet's: that shows arrays with red and blue exchanged, and fails for some suffixes.

        Arrays get a number as their name, of which mmdet's tables are in need too.

        Args:
            inputs: files and arrays.
            preds: their detections.
            return_vis: return the drawings, RGB.
            no_save_vis: write nothing.
            img_out_dir: write into its folder ``vis``; empty for nowhere.
            drawn: of the visualizer, such as ``pred_score_thr``.
        """
        for source, sample in zip(inputs, preds, strict=True):
            if isinstance(source, np.ndarray):
                sample.set_metainfo(dict(img_path=f"{self.num_visualized_imgs:08}.png"))
            self.num_visualized_imgs += 1
        folder = None if no_save_vis or not img_out_dir else Path(img_out_dir) / "vis"
        if folder is None and not return_vis and not drawn.get("show"):
            return None
        drawings = []
        for source, sample in zip(inputs, preds, strict=True):
            name = _drawing_of(sample.img_path)
            out_file = None if folder is None else str(folder / name)
            rgb = _pixels(source)[..., ::-1]
            self.visualizer.add_datasample(name, rgb, sample, draw_gt=False, out_file=out_file, **drawn)
            drawings.append(self.visualizer.get_image())
        return drawings

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
        listed = self._inputs_to_list(picture)
        if len(listed) != 1:
            raise UserError(f"these are {len(listed)} pictures. Fix: explain them one by one")
        (source,) = listed
        ((_, batch),) = self.preprocess([source])
        pixels = _pixels(source)
        (sample,), trace = traced(self.model, lambda: self.forward(batch), pixels.shape[:2])
        if len(trace.relations):  # before the first drawing
            trace.check(
                len(trace.relations) if layer is None else layer, int(trace.best()[0]) if query is None else query
            )
        stem = Path(source).stem if isinstance(source, str) else "picture"
        rgb, classes = pixels[..., ::-1], self.model.dataset_meta["classes"]
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
        stored = checkpoint.get("meta", {}).get("dataset_meta", {})
        outputs = model.bbox_head.num_classes
        classes = self.classes or names or stored.get("classes") or _of_config(cfg, outputs) or ()
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
        pipeline = super()._init_pipeline(cfg)
        for loader in pipeline.transforms:
            if isinstance(loader, InferencerLoader):
                loader.from_file = _Reader(loader.from_file)
        return pipeline

    def _inputs_to_list(self, inputs: Picture | Iterable[Picture]) -> list[str | np.ndarray]:
        alone = isinstance(inputs, (str, Path, np.ndarray)) or not isinstance(inputs, Iterable)
        listed = [one for each in ([inputs] if alone else inputs) for one in _expanded(_plain(each))]
        if not listed:
            raise UserError(f"there is no picture in {inputs}. Fix: a file, a folder with pictures, or an array")
        for one in listed:
            _check(one)
        return listed


def coco_names(outputs: int) -> tuple[str, ...] | None:
    """Return COCO's names for 91 scores (by raw category id, ``none`` where there is no category) or 80, else None."""
    names = CocoDataset.METAINFO["classes"]
    if outputs == len(names):
        return names
    of_id = dict(zip(COCO_IDS, names, strict=True))
    return tuple(of_id.get(number, UNUSED) for number in range(outputs)) if outputs == max(COCO_IDS) + 1 else None


def _of_config(cfg: Config, outputs: int) -> tuple[str, ...] | None:
    """Return the class names that the config's test data states, or COCO's if it is on COCO."""
    dataset = cfg.test_dataloader.dataset
    named = (dataset.get("metainfo") or {}).get("classes")
    # By type: SA-Det-100k's detectors have 91 scores too, of other classes.
    on_coco = dataset["type"].rpartition(".")[2] in ("CocoDataset", "RelationCocoDataset")
    return named or (coco_names(outputs) if on_coco else None)


def _config(model: str | Path | Config) -> Config:
    """Return a config of this package, its modules imported.

    Raises:
        FileNotFoundError: there is none of that name.
        UserError: it is another package's, or no config.
    """
    if isinstance(model, Config):
        name, config = "the config", copy.deepcopy(model)
    else:
        name = papers.find_config("relation_detr", model)
        try:
            config = Config.fromfile(name, import_custom_modules=False)  # another package's may not be there
        except OSError as error:
            raise UserError(f"{name} is no config: {error}. Fix: give a Python file with a config") from error
    named = config.get("custom_imports") or {}
    if "mm_relation_detr" not in named.get("imports", ()):
        raise UserError(
            f"{name} is not for this package: its custom_imports have no mm_relation_detr. "
            "Fix: `mmrepro list relation_detr` shows the configs"
        )
    import_modules_from_strings(**named)
    return config


@dataclass(frozen=True)
class _Reader:
    """mmdet's loader of files, whose errors name neither the address nor what to do."""

    read: Callable[[dict], dict]

    def __call__(self, results: dict) -> dict:
        try:
            return self.read(results)
        except AssertionError as error:
            raise _unreadable(results["img_path"], "damaged, or no picture") from error
        except OSError as error:
            raise _unreadable(results["img_path"], str(error)) from error


def _unreadable(picture: str, fault: str) -> UserError:
    return UserError(f"{picture} cannot be read: {fault}. Fix: leave it out or write it again")


def _pixels(source: str | np.ndarray) -> np.ndarray:
    """Return a picture as ``(H, W, 3)`` in uint8, blue first and upright."""
    return source if isinstance(source, np.ndarray) else mmcv.imread(source)


def _drawing_of(source: str) -> str:
    """Return the name of a file's drawing: not every format that can be read can be written in colours."""
    path = Path(source.partition("?")[0])  # of a URL
    return path.name if path.suffix.lower() in (".jpg", ".jpeg") else f"{path.stem}.png"


def _table_of(source: str) -> str:
    """Return what mmdet calls a file's table, but for the suffix."""
    return Path(source).stem


def _check_names(files: Sequence[str], name_of: Callable[[str], str]) -> None:
    """Stop where a picture's results would replace another's.

    Args:
        files: the pictures.
        name_of: the name that a file's results get.

    Raises:
        UserError: two files' results would have the same name.
    """
    name, count = Counter(map(name_of, files)).most_common(1)[0] if files else ("", 0)
    if count > 1:
        same = " and ".join([file for file in files if name_of(file) == name][:2])
        raise UserError(f"{same} would be written under one name. Fix: give them in two calls, with an out_dir each")


def _expanded(picture: str | np.ndarray) -> list[str | np.ndarray]:
    """Return the pictures of a folder in the order of their names, or the picture itself.

    Not mmdet's: that leaves out ``.JPG``.
    """
    if isinstance(picture, np.ndarray) or "://" in picture or not Path(picture).is_dir():
        return [picture]
    files = sorted(Path(picture).iterdir())
    return [str(file) for file in files if file.suffix.lower() in IMG_EXTENSIONS and not file.name.startswith(".")]


def _plain(picture: Picture) -> str | np.ndarray:
    if not isinstance(picture, (str, Path, np.ndarray)):
        raise UserError(f"{type(picture).__name__} is no picture. Fix: give a file, a folder or an array (H, W, 3)")
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
        raise _unreadable(picture, fault)
