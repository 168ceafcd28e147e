"""mmdet's inferencer for every kind of picture, with errors that name the file, and drawings in the right colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose

from mmrepro.engine.errors import UserError
from mmrepro.pictures import Picture, listed, pixels, require_distinct, stem_of, with_named_errors

VIS = "vis"  # folder below out_dir


class PictureDetInferencer(DetInferencer):
    """mmdet's inferencer, of which a paper's inherits.

    Photographs are turned upright. Grey pictures, palettes, transparency, CMYK and 16 bits become 8-bit colours.
    """

    def __call__(
        self, inputs: Picture | Iterable[Picture], batch_size: int = 1, out_dir: str | Path = "", **options: Any
    ) -> dict:
        """Return the detections of pictures, the best first, and write drawings and tables.

        Args:
            inputs: a file, a folder, a URL, an array ``(H, W, 3)`` in uint8, blue first, or a list of these.
            batch_size: how many pictures go through the network at once. Those of different sizes are padded, which
                changes scores a little.
            out_dir: folder of the drawings, in ``vis``, and with ``no_save_pred=False`` of tables, in ``preds``.
                Results of arrays have numbers as names. Empty for neither.
            options: mmdet's, such as ``pred_score_thr=0.3`` for the drawings, or ``return_vis=True``.

        Returns:
            ``predictions``, for each picture ``bboxes`` as (x1, y1, x2, y2) in its pixels, ``scores`` and ``labels``,
            which number ``model.dataset_meta["classes"]``, and of a network with masks ``masks``, run lengths as
            pycocotools writes them; and ``visualization``, drawings if asked for.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: something is no picture, cannot be read, or would be written under another's name.
        """
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size}. Fix: 1 or more")
        sources = listed(inputs)
        if out_dir:
            tables = not options.get("no_save_pred", True)
            require_distinct(sources, stem_of if tables else self.drawing_of)
        return super().__call__(sources, batch_size, out_dir=str(out_dir), **options)

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
                sample.set_metainfo(dict(img_path=f"{stem_of(source, self.num_visualized_imgs)}.png"))
            self.num_visualized_imgs += 1
        folder = None if no_save_vis or not img_out_dir else Path(img_out_dir) / VIS
        if folder is None and not return_vis and not drawn.get("show"):
            return None
        drawings = []
        for source, sample in zip(inputs, preds, strict=True):
            name = self.drawing_of(sample.img_path)
            out_file = None if folder is None else str(folder / name)
            rgb = pixels(source)[..., ::-1]
            self.visualizer.add_datasample(name, rgb, sample, draw_gt=False, out_file=out_file, **drawn)
            drawings.append(self.visualizer.get_image())
        return drawings

    @staticmethod
    def drawing_of(source: str) -> str:
        """Return the name of a file's drawing: not every format that can be read can be written in colours."""
        return f"{stem_of(source)}.png"

    def _init_pipeline(self, cfg: Config) -> Compose:
        for step in cfg.test_dataloader.dataset.pipeline:
            if step["type"].endswith("LoadImageFromFile"):
                step["color_type"] = "color"  # upright, as the drawings are
        return with_named_errors(super()._init_pipeline(cfg))

    def _inputs_to_list(self, inputs: Picture | Iterable[Picture]) -> list[str | np.ndarray]:
        return listed(inputs)
