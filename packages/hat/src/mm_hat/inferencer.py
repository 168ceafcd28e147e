"""Better pictures from files, folders and arrays: any mode and depth goes in, the same comes out (arXiv 2205.04437).

The official code, XPixelGroup/HAT @ 1638a9a, takes everything for 8-bit colour and writes PNG. Here grey stays grey, 16
bits stay 16 bits, and transparency is enlarged beside the colours; fully transparent pixels get the colour of what is
next to them, so that no edge darkens.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import INFERENCERS
from mmengine.runner import CheckpointLoader
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from mm_hat.checkpoint import DISCRIMINATOR, load_strictly
from mm_hat.datasets.image_io import (
    ALPHA_SUFFIXES,
    DEEP_SUFFIXES,
    LARGEST_SIDE,
    LUMA,
    READ_SUFFIXES,
    SUFFIXES,
    Picture,
    read_picture,
    write_picture,
)
from mm_hat.datasets.imresize import imresize
from mm_hat.hidden_colours import with_visible_colours
from mm_hat.models.restorer import ImageRestorer
from mmrepro import papers
from mmrepro.engine.errors import UserError

Source = str | Path | Picture | np.ndarray
Remake = Callable[[np.ndarray, np.ndarray | None], Picture | np.ndarray]
# What may be wrong with one picture, or too much for it; the others are done all the same.
FAULTS = (OSError, ValueError, ArithmeticError, MemoryError, RuntimeError, UserError)
INSTEAD = ".png"  # of a format that cannot be written, or cannot hold the picture


@dataclass(frozen=True)
class Job:
    """One picture to restore.

    Attributes:
        source: where it comes from.
        name: what errors call it.
        place: where its result goes, below the folder of the results.
    """

    source: Source
    name: str
    place: Path


@INFERENCERS.register_module()
class HATInferencer:
    """Restore pictures with a trained network.

    Example:
        >>> inferencer = HATInferencer("hat_8xb4-250k_df2k-x4_from-x2", "HAT_SRx4.pth", tile="auto")
        >>> inferencer("photos", out_dir="enlarged")["failed"]
        {}

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``. Of a GAN the generator runs alone.
        weights: a checkpoint: ours, an official one, or safetensors; a path or a URL. None for a network without
            parameters, such as ``BicubicUpscaler``.
        device: such as ``cuda:0``; None for what is there.
        tile: ``exact`` for the whole picture's result in less memory; side of a tile in pixels of the input,
            which changes the picture, because channel attention averages over what it sees; ``auto`` for the first of
            whole, ``exact`` and the largest tile that fits the memory; None for what the config says.
        tile_pad: how far a tile looks over its edge; None for what the config says.
        feather: width of the blend between tiles; None for what the config says.
        bf16: compute in bfloat16 where that is safe; faster on GPUs. There is no float16: activations leave its range.
        show_progress: draw progress bars, over the pictures and over the parts of one.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: the config is none of a restorer, or the device cannot be used.
        CheckpointMismatchError: the checkpoint belongs to another scale or variant than the config's.
        ValueError: the tiles do not fit the network's window, or the weights are missing.
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        tile: int | Literal["auto", "exact"] | None = None,
        tile_pad: int | None = None,
        feather: int | None = None,
        bf16: bool = False,
        show_progress: bool = False,
    ):
        config = model if isinstance(model, Config) else read_config(model)
        tiles = {"tile": tile, "tile_pad": tile_pad, "feather": feather}
        self.device = usable_device(device or get_device())
        self.model = build_restorer(config.model, {key: value for key, value in tiles.items() if value is not None})
        load_generator(self.model, weights)
        self.model.to(self.device).eval()
        self.scale: int = self.model.scale
        self.bf16 = bf16
        self.show_progress = show_progress

    def __call__(
        self, inputs: Source | Sequence[Source], out_dir: str | Path | None = None, crops: bool = False
    ) -> dict[str, Any]:
        """Restore one picture, all of a folder, or each of a list.

        Args:
            inputs: a file; a folder, searched with its subfolders for the suffixes of pictures; an array (H, W) or
                (H, W, C) with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha), in uint8, uint16 or floats in
                [0, 1]; a :class:`Picture`; or a list of those.
            out_dir: write the pictures there under the names of their files, below a folder by their paths in it. What
                a format cannot hold (GIF; 16 bits or alpha in BMP; a side of 16384 in WebP) becomes a PNG.
            crops: draw a comparison with bicubic interpolation too, ``<name>_crops.png``; needs ``out_dir``.

        Returns:
            ``predictions``: for each input a :class:`Picture`, or an array of the input's kind, or None where it
            failed; empty where the pictures are written, so that a folder of any size fits the memory.
            ``visualization``: for each input the list of its written files. ``failed``: what went wrong, by name. A
            fault does not stop the others, and of a picture that failed nothing is written.

        Raises:
            UserError: there is no picture, ``out_dir`` is a file, or a result would take the place of an input.
            OSError, ValueError, ArithmeticError, MemoryError, RuntimeError: a single input failed.
        """
        if crops and out_dir is None:
            raise UserError("crops are drawn into files. Fix: give out_dir")
        out = None if out_dir is None else Path(out_dir)
        if out is not None and out.exists() and not out.is_dir():
            raise UserError(f"{out} is a file. Fix: give a folder for the results")
        jobs = list(jobs_of(inputs, out))
        if out is not None:
            spare_inputs(jobs, out)
        single = len(jobs) == 1 and not isinstance(inputs, (list, tuple)) and jobs[0].source is inputs
        predictions: list[Picture | np.ndarray | None] = []
        written: list[list[Path]] = []
        failed: dict[str, str] = {}
        taken = files_of(jobs)  # a result whose suffix changes must not replace one either
        with _bars(len(jobs), self.show_progress) as (next_picture, tiles):
            for job in jobs:
                prediction, files = None, []
                try:
                    low, prediction = self.restore(job.source, tiles)
                    if out is not None:
                        files = write(prediction, out / job.place, taken, low if crops else None)
                except FAULTS as fault:
                    if single:
                        raise
                    failed[job.name] = _sentence(fault, job.name)
                written.append(files)
                predictions += [prediction] if out is None else []
                next_picture()
        if failed:
            lines = "".join(f"\n  {name}: {message}" for name, message in failed.items())
            print_log(f"{len(failed)} of {len(jobs)} pictures failed:{lines}", "current", logging.WARNING)
        return {"predictions": predictions, "visualization": written, "failed": failed}

    def restore(
        self, source: Source, progress: Callable[[int, int], None] | None = None
    ) -> tuple[np.ndarray, Picture | np.ndarray]:
        """Restore one picture.

        Args:
            source: a file, a :class:`Picture`, or an array, as in :meth:`__call__`.
            progress: called with the numbers of finished and of all tiles, or blocks of the network.

        Returns:
            What the network saw, RGB (h, w, 3) in [0, 1], and the result, of the source's kind.

        Raises:
            OSError, ValueError: the source cannot be read, has no pixels, or is colour where the network is grey.
            ArithmeticError: the network's output is not finite.
        """
        rgb, alpha, remake = to_floats(source)
        if alpha is not None:
            rgb = with_visible_colours(rgb, alpha)
        channels = getattr(self.model.generator, "in_chans", 3)
        if channels == 1 and np.ptp(rgb, axis=2).any():
            raise ValueError("the picture has colours, and the network is for grey ones. Fix: a network of 3 channels")
        image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)[:channels]))[None]  # (1, C, h, w)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            restored = self.model.restore(image.to(self.device), progress)[0].float().cpu()
        if not torch.isfinite(restored).all():
            raise ArithmeticError("the network's output is not finite. Fix: check the weights, and leave bf16 out")
        larger = None if alpha is None else imresize(alpha, self.scale)
        return rgb, remake(restored.expand(3, -1, -1).permute(1, 2, 0).numpy(), larger)


def read_config(model: str | Path) -> Config:
    """Read a config by its name or path.

    Raises:
        FileNotFoundError: it does not exist.
        UserError: it is no config, or none of a network with a ``generator``.
    """
    path = papers.find_config("hat", model)
    try:
        config = Config.fromfile(path)
    except OSError as fault:
        raise UserError(f"{path} is not a config ({fault}). Fix: the config goes before the weights") from fault
    if "generator" not in (config.get("model") or {}):
        raise UserError(f"{path} is not a config of HAT: its model has no generator. Fix: see `mmrepro list hat --all`")
    return config


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device that tensors can be put on.

    Raises:
        UserError: there is no such device here.
    """
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as fault:
        reason = str(fault).splitlines()[0]
        raise UserError(
            f"the device {name} cannot be used: {reason}. Fix: cpu, or cuda:N where there is one"
        ) from fault


def build_restorer(model: Mapping[str, Any], tiles: Mapping[str, Any]) -> ImageRestorer:
    """Return a restorer around a config's generator; its losses and discriminators would want weights of their own.

    Args:
        model: the config's ``model``.
        tiles: settings that go before those of its ``test_cfg``.
    """
    settings = {**(model.get("test_cfg") or {}), **tiles}
    return ImageRestorer(model["generator"], test_cfg=settings)


def load_generator(model: nn.Module, weights: str | Path | None) -> None:
    """Load a checkpoint's generator, whatever else the file holds.

    Raises:
        CheckpointMismatchError: it belongs to another scale or variant.
        ValueError: the model has parameters and there is no checkpoint, or the file holds something else.
    """
    if weights is None:
        if any(True for _ in model.generator.parameters()):
            raise ValueError("a network without weights makes noise. Fix: give weights, a checkpoint's path or URL")
        return
    checkpoint = CheckpointLoader.load_checkpoint(str(weights), "cpu")
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"{weights} holds a {type(checkpoint).__name__} instead of tensors by their names")
    state = checkpoint.get("state_dict")
    if isinstance(state, dict):
        for key in [key for key in state if key.startswith(DISCRIMINATOR)]:
            del state[key]
    load_strictly(model, checkpoint)


def to_floats(source: Source) -> tuple[np.ndarray, np.ndarray | None, Remake]:
    """Return RGB (H, W, 3) and alpha (H, W) or None as float32 in [0, 1], and what makes the source's kind of them.

    Raises:
        OSError, ValueError: the file cannot be read, or the picture has no pixels or an unknown layout.
    """
    if isinstance(source, np.ndarray):
        return _array_to_floats(source)
    picture = source if isinstance(source, Picture) else read_picture(source)
    if 0 in picture.rgb.shape:
        raise ValueError(f"the picture has no pixels: its shape is {picture.rgb.shape}")
    return *picture.floats(), picture.with_floats


def _array_to_floats(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, Remake]:
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 2, 3, 4)):
        raise ValueError(f"an array must be (H, W) or (H, W, C) with 1 to 4 channels; its shape is {values.shape}")
    if 0 in values.shape:
        raise ValueError(f"the picture has no pixels: its shape is {values.shape}")
    whole = values.dtype in (np.uint8, np.uint16)
    if not whole and not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"an array must be of uint8, uint16 or floats in [0, 1], not of {values.dtype}")
    if not whole and not ((values >= 0) & (values <= 1)).all():
        raise ValueError("an array of floats must lie in [0, 1]. Fix: divide by the value of white")
    peak = np.iinfo(values.dtype).max if whole else 1
    cube = values.reshape(*values.shape[:2], -1).astype(np.float32) / peak
    grey = cube.shape[2] < 3

    def remake(rgb: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        parts = [(rgb @ np.float32(LUMA))[..., None] if grey else rgb]
        parts += [] if alpha is None else [alpha[..., None]]
        result = np.concatenate(parts, axis=2).clip(0, 1)
        if whole:
            result = (result * peak).round()
        return result.astype(values.dtype).reshape(*result.shape[:2], *values.shape[2:])

    rgb = cube[..., :1].repeat(3, axis=2) if grey else cube[..., :3]
    return rgb, cube[..., -1] if cube.shape[2] in (2, 4) else None, remake


def jobs_of(inputs: Source | Sequence[Source], out: Path | None = None) -> Iterator[Job]:
    """Yield what there is to do for one input, a folder or a list; pictures below ``out`` are results, not inputs.

    Raises:
        UserError: the list is empty, or a folder has no pictures.
    """
    many = isinstance(inputs, (list, tuple))
    if many and not inputs:
        raise UserError("there is no picture: the list is empty")
    for number, source in enumerate(inputs if many else [inputs], 1):
        if not isinstance(source, (str, Path)):
            name = f"picture{number}"
            yield Job(source, name, Path(f"{name}{INSTEAD}"))
        elif Path(source).is_dir():
            yield from _jobs_of_folder(Path(source), out)
        else:
            yield Job(source, str(source), Path(Path(source).name))


def _jobs_of_folder(folder: Path, out: Path | None) -> Iterator[Job]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in READ_SUFFIXES and path.is_file())
    if out is not None and folder.resolve() in out.resolve().parents:
        files = [path for path in files if out.resolve() not in path.resolve().parents]
    if not files:
        raise UserError(f"{folder} has no pictures. Fix: a folder with files of {', '.join(READ_SUFFIXES)}")
    for path in files:
        yield Job(path, str(path), path.relative_to(folder))


def files_of(jobs: Sequence[Job]) -> set[Path]:
    """Return the files that the jobs read, resolved."""
    return {Path(job.source).resolve() for job in jobs if isinstance(job.source, (str, Path))}


def spare_inputs(jobs: Sequence[Job], out: Path) -> None:
    """Refuse a folder of results where a result would take the place of an input.

    Raises:
        UserError: it would; the input is named.
    """
    sources = files_of(jobs)
    for job in jobs:
        if (out / job.place).resolve() in sources:
            raise UserError(f"{out / job.place} is an input, and its result would replace it. Fix: another out_dir")


def write(result: Picture | np.ndarray, path: Path, taken: set[Path], low: np.ndarray | None = None) -> list[Path]:
    """Write a result, and its comparison with bicubic interpolation where ``low`` is given; return the files.

    Args:
        result: a picture, or an array, whose floats become 16 bits.
        path: where to; the suffix becomes ``.png`` where its format cannot hold the picture, and the name gets a number
            where it is taken.
        taken: resolved paths of the inputs and of what this call has written; those of the new files are added.
        low: what the network saw, RGB (h, w, 3) in [0, 1].
    """
    picture = result if isinstance(result, Picture) else _picture_of(result)
    path = _free(path.with_suffix(_suffix_for(picture, path.suffix)), taken)
    drawing = None
    if low is not None:
        from mm_hat.visualization import draw_crops  # matplotlib costs half a second

        drawing = draw_crops(low, picture.floats()[0], _free(path.with_name(f"{path.stem}_crops.png"), taken))
    try:
        write_picture(path, picture)
    except BaseException:
        if drawing is not None:
            drawing.unlink()
        raise
    return [path] if drawing is None else [path, drawing]


def _picture_of(values: np.ndarray) -> Picture:
    """Return an array as a picture: grey, with alpha or colour by its channels, floats as 16 bits."""
    if np.issubdtype(values.dtype, np.floating):
        values = (values * np.iinfo(np.uint16).max).round().astype(np.uint16)
    cube = values.reshape(*values.shape[:2], -1)
    channels = cube.shape[2]
    rgb = cube[..., :1].repeat(3, axis=2) if channels < 3 else cube[..., :3]
    alpha = cube[..., -1] if channels in (2, 4) else None
    return Picture(rgb, alpha, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])


def _suffix_for(picture: Picture, suffix: str) -> str:
    """Return the suffix, or that of PNG where its format cannot hold the picture."""
    kind = suffix.lower()
    deep, clear = picture.rgb.dtype == np.uint16, picture.alpha is not None
    side = max(picture.rgb.shape[:2])
    fits = kind in SUFFIXES and (not deep or kind in DEEP_SUFFIXES) and (not clear or kind in ALPHA_SUFFIXES)
    fits = fits and side <= LARGEST_SIDE.get(kind, side)
    return suffix if fits else INSTEAD


def _free(path: Path, taken: set[Path]) -> Path:
    """Return the path, numbered where it is taken, and take it."""
    others = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in itertools.count(2))
    path = next(other for other in itertools.chain([path], others) if other.resolve() not in taken)
    taken.add(path.resolve())
    return path


def _sentence(fault: BaseException, name: str) -> str:
    """Return a fault's message without the name that goes before it, or its type where there is none."""
    return str(fault).removeprefix(name).removeprefix(":").strip() or type(fault).__name__


@contextmanager
def _bars(pictures: int, show: bool) -> Iterator[tuple[Callable[[], None], Callable[[int, int], None]]]:
    """Draw progress on the standard error; yield what counts a picture, and what is told of finished and all tiles."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        whole = progress.add_task("pictures", total=pictures)
        part = progress.add_task("parts", total=None, visible=False)

        def next_picture() -> None:
            progress.advance(whole)
            progress.update(part, visible=False)

        def tiles(done: int, total: int) -> None:
            progress.update(part, completed=done, total=total, visible=True)

        yield next_picture, tiles
