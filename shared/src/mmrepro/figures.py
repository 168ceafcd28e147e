"""Figures and arrays written as PNG files, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmrepro.engine.atomic_backend import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: Figure, path: str | Path, dpi: int = 110) -> Path:
    """Write a figure without its empty margins, and return the path.

    Args:
        figure: what is written.
        path: the file; its folder is made.
        dpi: dots per inch of the figure.
    """
    content = io.BytesIO()
    figure.savefig(content, dpi=dpi, format="png", bbox_inches="tight", pad_inches=0.08)
    write_atomically(content.getvalue(), path)
    return Path(path)


def write_png(picture: np.ndarray, path: str | Path) -> Path:
    """Write an array, and return the path.

    Args:
        picture: RGB ``(H, W, 3)`` uint8, or ``(H, W)`` in uint8 or uint16.
        path: the file; its folder is made.
    """
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    write_atomically(content.getvalue(), path)
    return Path(path)
