"""JPEG compression of a batch on its device: colour transform, chroma subsampling, DCT, quantisation, and back.

Source: the baseline process of ITU-T T.81 with the example tables of its annex K, as ``DiffJPEG`` of
XPixelGroup/BasicSR @ 8d56e3a computes it: full-range BT.601, chroma averaged over 2x2 pixels and repeated back, black
padding to whole blocks, tables transposed with respect to the standard. Changed here: the DCT is two products with an
8x8 matrix, all blocks of a plane at once.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 8
# T.81, tables K.1 and K.2, row by row in vertical frequency
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
CHROMINANCE_REST = 99
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def quality_to_factor(quality: Tensor) -> Tensor:
    """Return what the tables are multiplied by, (B,), for qualities (B,) from 1 (worst) to 100."""
    return torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100


class DiffJPEG(nn.Module):
    """Compress and decompress images (B, 3, H, W), RGB in [0, 1], with a quality for each.

    Args:
        differentiable: replace the rounding of coefficients by ``round(x) + (x - round(x))^3``, which has a gradient.
    """

    def __init__(self, differentiable: bool = True) -> None:
        super().__init__()
        self.differentiable = differentiable
        frequency = torch.arange(BLOCK, dtype=torch.float64)[:, None]
        place = torch.arange(BLOCK, dtype=torch.float64)[None]
        transform = 0.5 * torch.cos((2 * place + 1) * frequency * math.pi / (2 * BLOCK))
        transform[0] *= math.sqrt(0.5)
        chrominance = torch.full((BLOCK, BLOCK), float(CHROMINANCE_REST))
        chrominance[:4, :4] = torch.tensor(CHROMINANCE_CORNER)
        buffers = {
            "transform": transform.float(),  # (frequency, place), orthonormal
            "luminance": torch.tensor(LUMINANCE, dtype=torch.float32).T.contiguous(),
            "chrominance": chrominance,
            "to_ycbcr": torch.tensor(TO_YCBCR),
            "to_rgb": torch.tensor(TO_RGB),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor, quality: Tensor | float) -> Tensor:
        """Return the images after compression, same shape, in [0, 1].

        Args:
            images: (B, 3, H, W), RGB in [0, 1]; values outside are compressed as they are.
            quality: one number, or (B,); 0 < quality <= 100.

        Raises:
            ValueError: the shape is another.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"JPEG needs colour images (B, 3, H, W), not {tuple(images.shape)}")
        b, _, h, w = images.shape
        quality = torch.as_tensor(quality, dtype=images.dtype, device=images.device).expand(b)
        factor = quality_to_factor(quality).view(b, 1, 1, 1, 1)
        # Whole blocks of the halved chroma: multiples of 16, filled up with black
        padded = F.pad(images, (0, -w % (2 * BLOCK), 0, -h % (2 * BLOCK)))
        y, cb, cr = _mixed(padded * 255, self.to_ycbcr).unbind(1)  # chroma is centred at 0
        y = self._through_blocks(y - 128, self.luminance * factor) + 128
        chroma = F.avg_pool2d(torch.stack((cb, cr), 1), 2)
        planes = [self._through_blocks(plane, self.chrominance * factor) for plane in chroma.unbind(1)]
        chroma = torch.stack(planes, 1).repeat_interleave(2, -1).repeat_interleave(2, -2)
        colours = _mixed(torch.cat((y[:, None], chroma), 1), self.to_rgb)
        return colours[..., :h, :w].clamp(0, 255) / 255

    def _through_blocks(self, plane: Tensor, table: Tensor) -> Tensor:
        """Return a plane (B, H, W) after its coefficients were quantised by tables (B, 1, 1, 8, 8)."""
        b, h, w = plane.shape
        # (B, H, W) -> (B, H/8, W/8, 8, 8)
        blocks = plane.view(b, h // BLOCK, BLOCK, w // BLOCK, BLOCK).transpose(2, 3)
        coefficients = self.transform @ blocks @ self.transform.T
        coefficients = self._round(coefficients / table) * table
        blocks = self.transform.T @ coefficients @ self.transform
        return blocks.transpose(2, 3).reshape(b, h, w)

    def _round(self, x: Tensor) -> Tensor:
        rounded = x.round()
        return rounded + (x - rounded) ** 3 if self.differentiable else rounded


def _mixed(images: Tensor, matrix: Tensor) -> Tensor:
    """Return images (B, 3, H, W) whose colours are multiplied by a matrix (3, 3)."""
    # No convolution: on GPUs that would round to TF32, and the levels of a picture with it.
    return torch.einsum("ij,bjhw->bihw", matrix.to(images), images)
