"""An image restorer: a network, its training loss, and its use on pictures of any size (arXiv 2205.04437, section 4).

Official code: XPixelGroup/HAT @ 1638a9a, hat/models/hat_model.py (Apache-2.0). The names follow mmagic's editors:
``generator``, ``pixel_loss``, samples with ``gt_img`` and ``output.pred_img``. The output is never clamped here; the
metrics and the writer of pictures clamp and round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from mm_hat.models.tiling import available_memory, check_tile, largest_tile, pad_to_window, restore_tiles
from mmrepro.engine.errors import UserError

Samples = Sequence[BaseDataElement] | Mapping[str, Tensor]


@dataclass(frozen=True)
class TestSettings:
    """How a picture goes through the network.

    Attributes:
        window_pad: sides are padded to multiples of this; None for the network's window.
        tile: side of a tile in pixels of the input; None for the whole picture at once, ``auto`` for the largest that
            fits the memory. Anything but None changes the picture, see :mod:`mm_hat.models.tiling`.
        tile_pad: how far a tile looks over its edge.
        feather: width of the blend between tiles; 0 cuts hard, as the official code does.
        tile_batch: how many tiles of equal size run at once.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    window_pad: int | None = None
    tile: int | Literal["auto"] | None = None
    tile_pad: int = 32
    feather: int = 0
    tile_batch: int = 1

    @classmethod
    def of(cls, config: Mapping | None) -> TestSettings:
        """Read a ``test_cfg``.

        Raises:
            ValueError: an unknown entry, or a tile that is neither a number nor ``auto``.
        """
        config = dict(config or {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(config) - set(known)):
            raise ValueError(f"test_cfg knows {', '.join(known)}; not {', '.join(unknown)}")
        settings = cls(**config)
        if not (settings.tile is None or settings.tile == "auto" or isinstance(settings.tile, int)):
            raise ValueError(f"test_cfg: tile={settings.tile!r}, expected a number of pixels, 'auto' or None")
        return settings


@MODELS.register_module()
class ImageRestorer(BaseModel):
    """A network that makes pictures better, with mmengine's modes ``tensor``, ``loss`` and ``predict``.

    Args:
        generator: registry config of the network; it has the attributes ``upscale`` and ``window_size``.
        pixel_loss: registry config of the loss between output and ground truth; None where nothing is trained.
        train_cfg: nothing yet; subclasses have settings here.
        test_cfg: see :class:`TestSettings`.
        data_preprocessor: registry config; None for :class:`RestorationDataPreprocessor`.
        init_cfg: as in every mmengine model.

    Raises:
        ValueError: an unknown setting, or tiles that do not fit the window.
    """

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
        self.test_cfg = TestSettings.of(test_cfg)
        self.scale = int(self.generator.upscale)
        self.width = int(getattr(self.generator, "embed_dim", 180))
        self.window = int(self.test_cfg.window_pad or self.generator.window_size)
        if self.test_cfg.tile is not None:
            tile = self.window if self.test_cfg.tile == "auto" else self.test_cfg.tile
            check_tile(tile, self.test_cfg.tile_pad, self.window)

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
        """Restore pictures of one size: pad to the window, run at once or in tiles, crop.

        Args:
            image: RGB in [0, 1], (B, C, H, W), any size.
            progress: called with the numbers of finished and of all tiles.

        Returns:
            (B, C, H*s, W*s), not clamped.

        Raises:
            UserError: memory ran out; no picture is returned then.
        """
        height, width = image.shape[-2:]
        padded = pad_to_window(image, self.window)
        tile = self._tile(padded) if self.test_cfg.tile == "auto" else self.test_cfg.tile
        while True:
            try:
                restored = self._run(padded, tile, progress)
                break
            except torch.cuda.OutOfMemoryError as error:
                smaller = (tile or max(padded.shape[-2:])) // 2 // self.window * self.window
                if self.test_cfg.tile != "auto" or smaller < self.window:
                    what = f"tiles of {tile} px" if tile else f"a picture of {height}x{width} px"
                    raise UserError(f"memory ran out for {what}: set test_cfg.tile (or a smaller one)") from error
            print_log(f"memory ran out for tile={tile}: going on with tile={smaller}", "current", logging.WARNING)
            tile = smaller
        return restored[..., : height * self.scale, : width * self.scale]

    def _run(self, padded: Tensor, tile: int | None, progress: Callable[[int, int], None] | None) -> Tensor:
        if tile is None:
            return self.generator(padded)
        settings = self.test_cfg
        return restore_tiles(
            self.generator,
            padded,
            self.scale,
            tile,
            settings.tile_pad,
            settings.feather,
            settings.tile_batch,
            progress,
        )

    def _tile(self, padded: Tensor) -> int | None:
        """Choose a tile by the memory that is free and by what a pixel takes."""
        batch, _, height, width = padded.shape
        pixel = self.bytes_per_pixel() * max(batch, self.test_cfg.tile_batch)
        memory = available_memory(padded.device) - 4 * 4 * padded.numel() * self.scale**2  # the result itself
        return largest_tile((height, width), self.window, self.test_cfg.tile_pad, pixel, memory)

    def bytes_per_pixel(self) -> float:
        """Estimate what an inference takes for each pixel of its input, beyond the weights.

        The largest of two moments counts: in the body, a block holds about 12 maps of ``embed_dim`` numbers; in the
        upsampler, the last stage holds its input, the convolution's output and the shuffled copy of it. For HAT of 256
        px on a CPU that says 8.6, 8.6 and 12.3 kB at x1, x2 and x4; measured are 8.6, 8.6 and 9.9 kB.
        """
        body = 12 * self.width
        head = 3 * 64 * self.scale**2
        return 4.0 * max(body, head)


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
