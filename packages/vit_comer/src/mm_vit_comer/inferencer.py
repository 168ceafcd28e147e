"""Detections with masks and segmentations of files, folders and arrays, drawn or as tables, and what features saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, INFERENCERS, init_default_scope
from mmseg.apis import MMSegInferencer
from rich.progress import track
from torch import nn

from mm_vit_comer.checkpoint import from_official, is_official, require_same_model
from mm_vit_comer.feature_maps import FeatureTrace, Stage, shrunk, trace_features
from mm_vit_comer.visualization import (
    draw_feature_maps,
    draw_interactions,
    draw_samples,
    overlay,
    with_legend,
)
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers
from mmrepro.detection.inferencer import VIS, PictureDetInferencer
from mmrepro.engine.errors import UserError
from mmrepro.figures import write_png
from mmrepro.paper_config import read_config
from mmrepro.pictures import Picture, listed, pixels, require_distinct, single, stem_of, with_named_errors
from mmrepro.safe_loading import source_of

PREDS = "preds"  # folder below out_dir, beside that of the drawings


class ViTCoMerInferencer:
    """What both inferencers have in common: pictures in, weights loaded completely or not at all, features drawn.

    Photographs are turned upright. Grey pictures, palettes, transparency, CMYK and 16 bits become 8-bit colours.

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``.
        weights: a checkpoint, ours or an official one, or safetensors; a path or a URL.
        device: such as ``cuda:0``; None for what is there.
        classes: a name for each class; None for those of the file, of the config's test data, or of its kind of data.
        show_progress: draw a progress bar.

    Attributes:
        scope: the default scope of the configs that an inferencer takes.
        task: what they are for.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: the config is another package's or of the other task, there are no weights, or too many names.
        CheckpointMismatchError: the checkpoint is of another network; both are named.
    """

    scope: str
    task: str

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        classes: Sequence[str] | None = None,
        show_progress: bool = False,
    ) -> None:
        if weights is None:
            raise UserError("a network without weights sees nothing. Fix: give weights, a checkpoint's path or URL")
        if isinstance(classes, str):
            raise UserError(f"classes={classes!r} is one text. Fix: classes=({classes!r},) with a name for each class")
        config = read_config("vit_comer", model)
        if config.get("default_scope") != self.scope:
            raise UserError(f"{config.filename or 'the config'} is not for {self.task}. Fix: use the other inferencer")
        init_default_scope(self.scope)
        self.classes = classes
        super().__init__(config, str(weights), device=device, show_progress=show_progress)

    def explain(
        self,
        picture: Picture,
        out_dir: str | Path,
        place: tuple[float, float] | None = None,
        interaction: int = 0,
        stage: Stage = "to_c",
    ) -> tuple[FeatureTrace, list[Path]]:
        """Draw what the backbone makes of one picture, with and without its interactions.

        The picture goes through the test pipeline, and through the backbone in one piece where segmentation would take
        it in windows. It is made smaller where BEiT's tables of relative positions are not for its size.

        Args:
            picture: a file, or an array (H, W, 3) in uint8, blue first.
            out_dir: folder of the drawings, which begin with the file's name: ``_features.png``, the maps of the
                trunk alone and of ViT-CoMer; ``_interactions.png``, the convolutional tokens before and after each
                interaction; ``_samples.png``, where the attention of three queries looks.
            place: of these queries, (x, y) in pixels of the picture; None for its centre.
            interaction, stage: which attention, see :meth:`mm_vit_comer.feature_maps.FeatureTrace.samples`.

        Returns:
            The trace and the files.

        Raises:
            FileNotFoundError, UserError: the picture cannot be read, there are several, or the backbone has no
                interactions.
            IndexError: there is no such place or attention.
        """
        source = single(picture)
        shown = pixels(source)[..., ::-1]
        batch = self.collate_fn([self.pipeline(source)])
        images = self.model.data_preprocessor(batch, training=False)["inputs"]
        try:
            trace = trace_features(self.model.backbone, shrunk(self.model.backbone, images))
        except TypeError as error:
            raise UserError(f"{error}. Fix: a config with a ViTCoMer backbone") from error
        stem = stem_of(source, 0)
        names = {name: Path(out_dir) / f"{stem}_{name}.png" for name in ("features", "interactions", "samples")}
        return trace, [
            draw_feature_maps(shown, trace, names["features"]),
            draw_interactions(shown, trace, names["interactions"]),
            draw_samples(shown, trace, names["samples"], place, interaction, stage),
        ]

    def _load_weights_to_model(self, model: nn.Module, checkpoint: Mapping[str, Any], cfg: Config) -> None:
        source = source_of(checkpoint)
        require_same_model(model, checkpoint)
        state = strip_wrappers(checkpoint, source)
        if is_official(state):
            state = from_official(state, model, source)
        problems = differences(state, model)
        if any(problems.values()):
            raise CheckpointMismatchError(source, problems)
        model.load_state_dict(state)
        meta = checkpoint.get("meta") or {}
        # the official files' libraries wrote capitals
        stored = meta.get("dataset_meta") or {"classes": meta.get("CLASSES"), "palette": meta.get("PALETTE")}
        outputs = self._outputs(model)
        classes, palette = self._names(stored, cfg, outputs)
        if len(classes) > outputs:
            raise UserError(
                f"there are {len(classes)} class names and {outputs} classes. Fix: classes=(...) with one name for each"
            )
        classes = (*classes, *(f"class {label}" for label in range(len(classes), outputs)))
        if palette is None or len(palette) != outputs:
            palette = _colours(outputs)
        model.dataset_meta = {"classes": classes, "palette": palette}

    def _names(self, stored: Mapping, cfg: Config, outputs: int) -> tuple[Sequence[str], Sequence | None]:
        """Return names of classes and their colours: given, of the file, of the config's test data, or of its kind."""
        data = cfg.test_dataloader.dataset
        with DATASETS.switch_scope_and_registry(None) as known:  # the scope's, and its ancestors
            kind = getattr(known.get(data.type), "METAINFO", {})
        if len(kind.get("classes") or ()) != outputs:
            kind = {}
        for meta in ({"classes": self.classes}, stored, data.get("metainfo") or {}, kind):
            if meta.get("classes"):
                return tuple(meta["classes"]), meta.get("palette")
        return (), None


@INFERENCERS.register_module()
class ViTCoMerDetInferencer(ViTCoMerInferencer, PictureDetInferencer):
    """mmdet's inferencer, which here reads official files, loads every weight or none, and explains the backbone.

    Arguments and errors are those of :class:`ViTCoMerInferencer`.

    Example:
        >>> inferencer = ViTCoMerDetInferencer("mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco", "comer_s_3x.pth")
        >>> inferencer("photographs", out_dir="detections")["predictions"][0]["scores"][:3]
        [0.99, 0.98, 0.97]
    """

    scope, task = "mmdet", "detection"

    @staticmethod
    def _outputs(model: nn.Module) -> int:
        head = model.roi_head if hasattr(model, "roi_head") else model
        heads = head.bbox_head if isinstance(head.bbox_head, nn.ModuleList) else [head.bbox_head]
        return heads[0].num_classes


@INFERENCERS.register_module()
class ViTCoMerSegInferencer(ViTCoMerInferencer, MMSegInferencer):
    """mmsegmentation's inferencer, which here reads official files, loads every weight or none, and explains.

    Drawings have a legend of the classes in the picture. mmsegmentation's own loads what fits and leaves the rest
    random, calls every class of an unnamed file one of Cityscapes, and numbers its files.

    Arguments and errors are those of :class:`ViTCoMerInferencer`.

    Example:
        >>> inferencer = ViTCoMerSegInferencer("vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512", "comer_t.pth")
        >>> inferencer("photographs", out_dir="segmented")["predictions"][0].shape
        (480, 640)
    """

    scope, task = "mmseg", "segmentation"

    def __call__(
        self,
        inputs: Picture | Iterable[Picture],
        batch_size: int = 1,
        out_dir: str | Path = "",
        return_vis: bool = False,
        opacity: float = 0.5,
    ) -> dict:
        """Return the labels of pictures, and write them and drawings.

        Args:
            inputs: a file, a folder, a URL, an array ``(H, W, 3)`` in uint8, blue first, or a list of these.
            batch_size: how many neighbours go through the network at once; those of another size wait for the next.
            out_dir: folder of the drawings, in ``vis``, and of label maps, in ``preds``, all PNG; empty for neither.
            return_vis: return the drawings, RGB.
            opacity: of the labels' colours in them.

        Returns:
            ``predictions``, for each picture its labels ``(H, W)``, places in ``model.dataset_meta["classes"]``; and
            ``visualization``, the drawings if asked for.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: something is no picture, cannot be read, or would be written under another's name.
        """
        if batch_size < 1 or not 0 <= opacity <= 1:
            raise UserError(f"batch_size={batch_size}, opacity={opacity}. Fix: at least 1, and between 0 and 1")
        sources = listed(inputs)
        if out_dir:
            require_distinct(sources)
        predictions, drawings = [], []
        for number, labels in enumerate(self._labels(sources, batch_size)):
            predictions.append(labels)
            if out_dir or return_vis:
                drawing = self._drawing(pixels(sources[number])[..., ::-1], labels, opacity)
                drawings += [drawing] if return_vis else []
                if out_dir:
                    name = stem_of(sources[number], number)
                    write_png(drawing, Path(out_dir) / VIS / f"{name}.png")
                    write_png(self._as_stored(labels), Path(out_dir) / PREDS / f"{name}.png")
        return {"predictions": predictions, "visualization": drawings}

    def _labels(self, sources: Sequence[str | np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
        """Yield the labels of each picture; nothing else of a batch is kept, since its logits have a map per class."""
        for batch in self._batches(sources, batch_size):
            yield from [sample.pred_sem_seg.data[0].cpu().numpy() for sample in self.forward(self.collate_fn(batch))]

    def _batches(self, sources: Sequence[str | np.ndarray], batch_size: int) -> Iterator[list[dict]]:
        """Yield pictures through the pipeline: neighbours, of one size, since mmsegmentation pads none in a test."""
        batch: list[dict] = []
        for source in track(sources, "segmenting") if self.show_progress else sources:
            data = self.pipeline(source)
            if batch and batch[0]["inputs"].shape != data["inputs"].shape:
                yield batch
                batch = []
            batch.append(data)
            if len(batch) == batch_size:  # before the next picture is read, which may be damaged
                yield batch
                batch = []
        if batch:
            yield batch

    def _as_stored(self, labels: np.ndarray) -> np.ndarray:
        return labels.astype(np.uint8 if self._outputs(self.model) <= 256 else np.uint16)

    def _drawing(self, rgb: np.ndarray, labels: np.ndarray, opacity: float) -> np.ndarray:
        classes, palette = (self.model.dataset_meta[name] for name in ("classes", "palette"))
        return with_legend(overlay(rgb, labels, palette, opacity), labels, classes, palette)

    def _init_pipeline(self, cfg: Config) -> Compose:
        return with_named_errors(super()._init_pipeline(cfg))

    @staticmethod
    def _outputs(model: nn.Module) -> int:
        return model.decode_head.num_classes


def _colours(count: int) -> list[tuple[int, ...]]:
    """Return fixed colours for classes that have none."""
    draw = np.random.Generator(np.random.PCG64(count))
    return [tuple(int(value) for value in draw.integers(40, 230, 3)) for _ in range(count)]
