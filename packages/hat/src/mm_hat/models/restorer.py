"""An image restorer: a network, its training loss, and its use on pictures of any size (arXiv 2205.04437, section 4).

Official code: XPixelGroup/HAT @ 1638a9a, hat/models/hat_model.py (Apache-2.0). The names follow mmagic's editors:
``generator``, ``pixel_loss``, samples with ``gt_img`` and ``output.pred_img``. The output is never clamped here; the
metrics and the writer of pictures clamp and round.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from mm_hat.models.hat import HAT
from mm_hat.models.strips import restore_in_strips, rows_for
from mm_hat.models.tiling import (
    SHARE,
    available_memory,
    check_feather,
    check_tile,
    largest_tile,
    pad_to_window,
    restore_tiles,
)
from mmrepro.engine.errors import UserError

Samples = Sequence[BaseDataElement] | Mapping[str, Tensor]
# Strips of so many pixels keep a device busy. On one thread of a CPU larger ones are no faster; for CUDA it is a guess.
STRIP_PIXELS = {"cpu": 64**2, "cuda": 256**2}


@dataclass(frozen=True)
class TestSettings:
    """How a picture goes through the network.

    Attributes:
        window_pad: sides are padded to multiples of this; None for the network's window.
        tile: side of a tile in pixels of the input, which changes the picture, see :mod:`mm_hat.models.tiling`; None
            for the whole picture at once; ``exact`` for the same result in less memory, see
            :mod:`mm_hat.models.strips`; ``auto`` for what fits the memory: the whole at once, else ``exact``, and only
            else the largest tile.
        tile_pad: how far a tile looks over its edge.
        feather: width of the blend between tiles; 0 cuts hard, as the official code does.
        tile_batch: how many tiles of equal size run at once.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    window_pad: int | None = None
    tile: int | Literal["auto", "exact"] | None = None
    tile_pad: int = 32
    feather: int = 0
    tile_batch: int = 1

    @classmethod
    def of(cls, config: Mapping | None) -> TestSettings:
        """Read a ``test_cfg``.

        Raises:
            ValueError: an unknown entry, a tile that is neither a number nor ``auto`` or ``exact``, or no tile at once.
        """
        config = dict(config or {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(config) - set(known)):
            raise ValueError(f"test_cfg knows {', '.join(known)}; not {', '.join(unknown)}")
        settings = cls(**config)
        if not (settings.tile in (None, "auto", "exact") or isinstance(settings.tile, int)):
            raise ValueError(f"test_cfg: tile={settings.tile!r}, expected a number of pixels, 'auto', 'exact' or None")
        if settings.tile_batch < 1:
            raise ValueError(f"test_cfg: tile_batch={settings.tile_batch}, expected at least 1")
        return settings


@dataclass(frozen=True)
class Plan:
    """One way to run a picture: in tiles of ``tile`` px, in strips of ``rows`` rows, or at once where both are None."""

    tile: int | None = None
    rows: int | None = None

    def __str__(self) -> str:
        if self.tile is not None:
            return f"tiles of {self.tile} px"
        return "the whole picture at once" if self.rows is None else f"strips of {self.rows} rows"


@MODELS.register_module()
class ImageRestorer(BaseModel):
    """A network that makes pictures better, with mmengine's modes ``tensor``, ``loss`` and ``predict``.

    Args:
        generator: registry config of the network; it has the attributes ``upscale`` and ``window_size``.
        pixel_loss: registry config of the loss between output and ground truth; None where nothing is trained.
        train_cfg: only subclasses have settings here, see ``TRAIN_SETTINGS``.
        test_cfg: see :class:`TestSettings`.
        data_preprocessor: registry config; None for :class:`RestorationDataPreprocessor`.
        init_cfg: as in every mmengine model.

    Raises:
        ValueError: an unknown setting, tiles that do not fit the window, or ``exact`` for another network than HAT.
    """

    TRAIN_SETTINGS: ClassVar[tuple[str, ...]] = ()  # what a ``train_cfg`` may hold

    def __init__(
        self,
        generator: dict,
        pixel_loss: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or {"type": "RestorationDataPreprocessor"}, init_cfg)
        self.generator = MODELS.build(generator)
        self.pixel_loss = MODELS.build(pixel_loss) if pixel_loss is not None else None
        self.train_cfg = dict(train_cfg or {})
        if unknown := sorted(set(self.train_cfg) - set(self.TRAIN_SETTINGS)):
            known = " and ".join(self.TRAIN_SETTINGS) or "nothing here"
            raise ValueError(f"train_cfg of {type(self).__name__} knows {known}; not {', '.join(unknown)}")
        self.test_cfg = TestSettings.of(test_cfg)
        self.scale = int(self.generator.upscale)
        self.width = int(getattr(self.generator, "embed_dim", 180))
        self.window = int(self.test_cfg.window_pad or self.generator.window_size)
        tile = self.test_cfg.tile
        if tile == "exact" and not isinstance(self.generator, HAT):
            raise ValueError(f"test_cfg: tile='exact' is for HAT, not {type(self.generator).__name__}. Fix: tile=None")
        if tile not in (None, "exact"):
            check_tile(self.window if tile == "auto" else tile, self.test_cfg.tile_pad, self.window)
            check_feather(self.test_cfg.feather, self.test_cfg.tile_pad)

    def forward(
        self, inputs: Tensor | Sequence[Tensor], data_samples: Samples | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[BaseDataElement]:
        """Run in one of mmengine's modes.

        Args:
            inputs: RGB in [0, 1], (B, C, H, W); a list of (C, H, W) where sizes differ (``predict`` only).
            data_samples: with ``gt_img`` (C, H*s, W*s) for ``loss``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Raises:
            ValueError: an unknown mode.
        """
        if mode == "tensor":
            return self._forward(inputs)
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r}: there are 'tensor', 'loss' and 'predict'")

    def _forward(self, inputs: Tensor) -> Tensor:
        """Return what the network makes of a batch whose sides are multiples of the window: (B, C, H*s, W*s)."""
        return self.generator(inputs)

    def loss(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        """Return ``loss_pix`` of a batch.

        Raises:
            ValueError: the model has no loss, or samples lack the ground truth.
        """
        if self.pixel_loss is None:
            raise ValueError("the model has no pixel_loss: set it in the config to train")
        return {"loss_pix": self.pixel_loss(self.generator(inputs), target(data_samples, "gt_img"))}

    @torch.no_grad()
    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: Sequence[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Return the samples with ``output.pred_img``, (C, H*s, W*s) on the CPU, neither clamped nor rounded."""
        if isinstance(inputs, Tensor):
            pictures = list(self.restore(inputs))
        else:
            pictures = [self.restore(picture[None])[0] for picture in inputs]
        samples = [BaseDataElement() for _ in pictures] if data_samples is None else list(data_samples)
        for sample, picture in zip(samples, pictures, strict=True):
            sample.set_data({"output": BaseDataElement(pred_img=picture.cpu())})
        return samples

    def restore(self, image: Tensor, progress: Callable[[int, int], None] | None = None) -> Tensor:
        """Restore pictures of one size: pad to the window, run at once, in strips or in tiles, crop.

        Args:
            image: RGB in [0, 1], (B, C, H, W), any size.
            progress: called with the numbers of finished and of all tiles, or of the network's blocks for strips.

        Returns:
            (B, C, H*s, W*s), not clamped.

        Raises:
            UserError: memory ran out; no picture is returned then.
        """
        height, width = image.shape[-2:]
        padded = pad_to_window(image, self.window)
        plan = self._plan(padded)
        while True:
            try:
                restored = self._run(padded, plan, progress)
                break
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                smaller = self._smaller(plan, padded)
                if smaller is None:
                    raise UserError(
                        f"memory ran out for a picture of {height}x{width} px, {plan}. Fix: {self._advice()}"
                    ) from error
            change = ", which changes the result" if smaller.tile is not None and plan.tile is None else ""
            print_log(f"memory ran out for {plan}: going on with {smaller}{change}", "current", logging.WARNING)
            plan = smaller
        return restored[..., : height * self.scale, : width * self.scale]

    def _run(self, padded: Tensor, plan: Plan, progress: Callable[[int, int], None] | None) -> Tensor:
        if plan.rows is not None:
            return restore_in_strips(self.generator, padded, plan.rows, progress)
        if plan.tile is None:
            return self.generator(padded)
        settings = self.test_cfg
        return restore_tiles(
            self.generator,
            padded,
            self.scale,
            plan.tile,
            settings.tile_pad,
            settings.feather,
            settings.tile_batch,
            progress,
        )

    def _advice(self) -> str:
        """Say what else than the present setting may help where memory ran out."""
        return {
            None: "test_cfg.tile='auto'",
            "exact": "test_cfg.tile='auto', which may change the result, or a smaller picture",
            "auto": "a smaller tile_pad, or free memory",
        }.get(self.test_cfg.tile, "smaller tiles, or test_cfg.tile='auto'")

    def _plan(self, padded: Tensor) -> Plan:
        """Choose by the settings, by the memory that is free, and by what a pixel takes.

        Raises:
            UserError: not even the smallest tile fits.
        """
        setting, (batch, _, *sides) = self.test_cfg.tile, padded.shape
        if setting not in ("auto", "exact"):
            return Plan(tile=setting)
        free, rows = available_memory(padded.device), None
        if isinstance(self.generator, HAT):
            pixels = STRIP_PIXELS.get(padded.device.type, STRIP_PIXELS["cpu"])
            rows = rows_for(self.generator, tuple(sides), self.window, free / batch, pixels)
        if setting == "exact":
            if rows is None:
                text = "the memory seems too small even for strips of one row of windows: trying those"
                print_log(text, "current", logging.WARNING)
            return Plan(rows=rows or self.window)
        pixel = self.bytes_per_pixel() * max(batch, self.test_cfg.tile_batch)
        memory = free - 4 * 4 * padded.numel() * self.scale**2  # the result itself
        if rows is not None and math.prod(sides) * pixel > memory * SHARE:
            return Plan(rows=rows)
        try:
            plan = Plan(tile=largest_tile(tuple(sides), self.window, self.test_cfg.tile_pad, pixel, memory))
        except MemoryError as error:
            raise UserError(f"a picture of {sides[0]}x{sides[1]} px: {error}") from error
        if plan.tile is not None:
            text = f"too little memory for the whole picture at once: {plan}, which changes the result"
            print_log(text, "current", logging.WARNING)
        return plan

    def _smaller(self, plan: Plan, padded: Tensor) -> Plan | None:
        """Return what to try once memory ran out for a plan, None where the settings allow nothing smaller."""
        height, width = padded.shape[-2:]
        if self.test_cfg.tile not in ("auto", "exact"):
            return None
        if plan.tile is None and isinstance(self.generator, HAT):
            rows = _half(plan.rows or height, self.window)
            if rows:
                return Plan(rows=rows)
        tile = _half(plan.tile or max(height, width), self.window)
        return Plan(tile=tile) if tile and self.test_cfg.tile == "auto" else None

    def bytes_per_pixel(self) -> float:
        """Estimate what an inference takes for each pixel of its input, beyond the weights.

        The largest of two moments counts: in the body, a block holds about 12 maps of ``embed_dim`` numbers; in the
        upsampler, the last stage holds its input, the convolution's output and the shuffled copy of it. Small pictures
        take more for each pixel, because of the allocator's gaps, and large ones less, because the upsampler runs in
        strips; ``SHARE`` leaves room for both.
        """
        body = 12 * self.width
        head = 3 * 64 * self.scale**2
        return 4.0 * max(body, head)


def _half(side: int, window: int) -> int:
    """Return half a side in whole windows; 0 where that is none."""
    return side // 2 // window * window


def _out_of_memory(error: RuntimeError) -> bool:
    """Tell whether a device has no more memory; on the CPU PyTorch says that with a plain RuntimeError."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def target(data_samples: Samples | None, name: str) -> Tensor:
    """Return a ground truth of the samples as a batch (B, C, H, W).

    Args:
        data_samples: a list of samples with one picture each, or batches by name.
        name: such as ``gt_img``.

    Raises:
        ValueError: a sample lacks it.
    """
    if isinstance(data_samples, Mapping):
        if name in data_samples:
            return data_samples[name]
    elif data_samples and all(name in sample for sample in data_samples):
        return torch.stack([sample.get(name) for sample in data_samples])
    raise ValueError(f"the samples have no {name!r}: does the data set load the ground truth?")
