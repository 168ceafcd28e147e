"""Views of what is cut into a grid of patches: pictures, videos and spectrograms."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from mm_meta_transformer.visualization.view import HEAT, View, spread

_FRAMES = 4  # of a video that are shown


class PictureView(View):
    """A picture; over the part of it that the network reads, a value for each patch."""

    def sample(self, axis: Axes) -> None:
        """Draw the picture."""
        axis.imshow(self.raw["picture"])
        axis.axis("off")

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw the values over what the network reads."""
        _over(axis, _seen(self.prediction.inputs), values.reshape(self.prediction.layout.grid))


class ClipView(View):
    """Frames of a video beside each other, and a value for each tubelet over them."""

    def sample(self, axis: Axes) -> None:
        """Draw frames from the whole video."""
        frames = self.raw["frames"]
        _framed(axis, _mosaic([frames[at] for at in np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)]))

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw the values over frames that the network reads: of the first view, where there are several."""
        clip = self.prediction.inputs
        clip = (clip[0] if clip.dim() == 5 else clip).permute(1, 2, 3, 0).numpy()
        groups, *_ = grid = self.prediction.layout.grid
        shown = np.linspace(0, groups - 1, min(groups, _FRAMES)).round().astype(int)
        tubelets = values.reshape(grid)
        _over(axis, _mosaic([clip[at * len(clip) // groups] for at in shown]), _mosaic([tubelets[at] for at in shown]))


class SpectrogramView(View):
    """A waveform, and over its spectrogram a value for each patch; time goes right, frequency up."""

    def sample(self, axis: Axes) -> None:
        """Draw the waveform."""
        waveform, rate = self.raw["waveform"], self.raw["rate"]
        axis.plot(np.arange(len(waveform)) / rate, waveform, linewidth=0.4, color="#00798c")
        axis.set_xlabel("seconds", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.margins(x=0)

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw the values over the spectrogram."""
        spectrogram = self.prediction.inputs.numpy().T  # (bins, frames)
        bins, frames = spectrogram.shape
        axis.imshow(spectrogram, origin="lower", aspect="auto", cmap="gray", extent=(0, frames, 0, bins))
        grid = values.reshape(self.prediction.layout.grid)
        low, high = spread(grid)
        axis.imshow(
            grid, origin="lower", aspect="auto", cmap=HEAT, alpha=0.6, extent=(0, frames, 0, bins), vmin=low, vmax=high
        )
        axis.set_xlabel("frames", fontsize=8)
        axis.set_ylabel("mel bins", fontsize=8)
        axis.tick_params(labelsize=8)


def _seen(inputs: Tensor) -> np.ndarray:
    """Return a picture ``(C, H, W)`` as it was read: blue first in uint8, or grey from -1 to 1."""
    picture = inputs.permute(1, 2, 0).numpy()
    if picture.dtype != np.uint8:
        picture = np.uint8(np.rint((picture + 1) * 127.5))
    return np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture[..., ::-1]


def _over(axis: Axes, picture: np.ndarray, grid: np.ndarray) -> None:
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    axis.imshow(picture, extent=extent)
    low, high = spread(grid)
    axis.imshow(grid, extent=extent, cmap=HEAT, alpha=0.6, vmin=low, vmax=high)
    axis.axis("off")


def _framed(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture)
    axis.axis("off")


def _mosaic(tiles: list[np.ndarray]) -> np.ndarray:
    """Return pictures as rows of two, the last row filled up with the last picture."""
    tiles = [*tiles, tiles[-1]] if len(tiles) % 2 else tiles
    return np.concatenate([np.concatenate(tiles[at : at + 2], 1) for at in range(0, len(tiles), 2)], 0)
