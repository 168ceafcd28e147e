"""The second-order degradation that makes low-quality pictures of the world out of good ones, batch by batch.

Sections 3.1 to 3.5 of Real-ESRGAN (arXiv 2107.10833) as Real-HAT trains with them: ``feed_data`` of XPixelGroup/HAT
@ 1638a9a, hat/models/realhatgan_model.py and realhatmse_model.py. Blur, resizing, noise, JPEG; once more; a sinc.
Python's ``random`` makes the choices, numpy's global generator the uniform draws, torch's the noise, in an order that
is part of the recipe (parity case ``degradation_pipeline``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_hat.datasets.degradation_kernels import Range, uniform
from mm_hat.datasets.jpeg import DiffJPEG
from mm_hat.datasets.noise import add_random_gaussian_noise, add_random_poisson_noise
from mm_hat.datasets.pair_pool import PairPool
from mm_hat.datasets.usm import USMSharp, blur

RESIZE_MODES = ("area", "bilinear", "bicubic")


@MODELS.register_module()
class RealESRGANDegradation(nn.Module):
    """Degrade a batch of ground truths with the kernels that ``RealESRGANDataset`` drew for them.

    Has no parameters, and nothing in a state dict. Everything happens on the device of the pictures, in float32 also
    under autocast. A trailing 2 means the second degradation; the names are the official options'.

    Args:
        scale: how much smaller the low-quality pictures are.
        gt_size: side of the ground truth after the random crop, a multiple of ``scale``.
        gt_usm: sharpen the ground truth before everything (the MSE stage); otherwise only what is degraded is sharp,
            and the ground truth is returned in both versions (the GAN stage).
        queue_size: pairs in the training-pair pool; 0 for none.
        resize_prob, resize_prob2: weights of enlarging, shrinking and keeping.
        resize_range, resize_range2: smallest and largest factor.
        gaussian_noise_prob, gaussian_noise_prob2: probability of Gaussian noise; it is Poisson noise otherwise.
        noise_range, noise_range2: deviation of Gaussian noise, in levels of 255.
        poisson_scale_range, poisson_scale_range2: strength of Poisson noise.
        gray_noise_prob, gray_noise_prob2: probability, by sample, of noise without colour.
        jpeg_range, jpeg_range2: quality.
        second_blur_prob: probability of the second blur.

    Raises:
        ValueError: ``gt_size`` is no multiple of ``scale``.
    """

    def __init__(
        self,
        scale: int = 4,
        gt_size: int = 256,
        gt_usm: bool = False,
        queue_size: int = 180,
        resize_prob: Sequence[float] = (0.2, 0.7, 0.1),
        resize_range: Range = (0.15, 1.5),
        gaussian_noise_prob: float = 0.5,
        noise_range: Range = (1, 30),
        poisson_scale_range: Range = (0.05, 3),
        gray_noise_prob: float = 0.4,
        jpeg_range: Range = (30, 95),
        second_blur_prob: float = 0.8,
        resize_prob2: Sequence[float] = (0.3, 0.4, 0.3),
        resize_range2: Range = (0.3, 1.2),
        gaussian_noise_prob2: float = 0.5,
        noise_range2: Range = (1, 25),
        poisson_scale_range2: Range = (0.05, 2.5),
        gray_noise_prob2: float = 0.4,
        jpeg_range2: Range = (30, 95),
    ) -> None:
        super().__init__()
        if gt_size % scale:
            raise ValueError(f"gt_size={gt_size} must be a multiple of scale={scale}")
        self.scale, self.gt_size, self.gt_usm = scale, gt_size, gt_usm
        self.resize_prob, self.resize_range = resize_prob, resize_range
        self.resize_prob2, self.resize_range2 = resize_prob2, resize_range2
        self.noise = (gaussian_noise_prob, noise_range, poisson_scale_range, gray_noise_prob)
        self.noise2 = (gaussian_noise_prob2, noise_range2, poisson_scale_range2, gray_noise_prob2)
        self.jpeg_range, self.jpeg_range2 = jpeg_range, jpeg_range2
        self.second_blur_prob = second_blur_prob
        self.sharpen, self.jpeg = USMSharp(), DiffJPEG(differentiable=False)
        self.pool = PairPool(queue_size) if queue_size else None

    @property
    def device(self) -> torch.device:
        """Where the pictures are expected."""
        return self.sharpen.taps.device

    @torch.no_grad()
    def forward(self, gt: Tensor, kernel1: Tensor, kernel2: Tensor, sinc_kernel: Tensor) -> dict[str, Tensor]:
        """Return training pairs: ``img`` (B, 3, s/scale, s/scale), ``gt``, ``gt_usm`` (B, 3, s, s), s = gt_size.

        Args:
            gt: (B, 3, H, W), RGB, uint8 or float in [0, 1].
            kernel1, kernel2, sinc_kernel: (B, k, k).

        Raises:
            ValueError: the pictures are smaller than ``gt_size``, or too small for the kernels.
        """
        with torch.autocast(gt.device.type, enabled=False):
            gt = gt.float() / 255 if gt.dtype == torch.uint8 else gt.float()
            sharp = self.sharpen(gt)
            if self.gt_usm:
                gt = sharp
            lq = self.degrade(sharp, kernel1, kernel2, sinc_kernel)
            lq, gt = self._crop(lq, gt)
            if self.pool is not None:
                lq, gt = self.pool.exchange(lq, gt)
            return {
                "img": lq.contiguous(),
                "gt": gt.contiguous(),
                # Sharpened from the crop, as officially: near its borders this is not the crop of the sharp picture.
                "gt_usm": gt.contiguous() if self.gt_usm else self.sharpen(gt),
            }

    def degrade(self, images: Tensor, kernel1: Tensor, kernel2: Tensor, sinc_kernel: Tensor) -> Tensor:
        """Return the low-quality version (B, 3, H/scale, W/scale) of images (B, 3, H, W), in whole levels of 255."""
        h, w = images.shape[-2:]
        out = blur(images, kernel1)
        factor, mode = _random_factor(self.resize_prob, self.resize_range), random.choice(RESIZE_MODES)
        out = F.interpolate(out, scale_factor=factor, mode=mode)
        out = self._compress(_add_noise(out, *self.noise), self.jpeg_range)

        if uniform() < self.second_blur_prob:
            out = blur(out, kernel2)
        factor, mode = _random_factor(self.resize_prob2, self.resize_range2), random.choice(RESIZE_MODES)
        size = (int(h / self.scale * factor), int(w / self.scale * factor))
        out = _add_noise(F.interpolate(out, size=size, mode=mode), *self.noise2)

        size = (h // self.scale, w // self.scale)
        if uniform() < 0.5:
            out = self._compress(_resize_and_ring(out, size, sinc_kernel), self.jpeg_range2)
        else:
            out = _resize_and_ring(self._compress(out, self.jpeg_range2), size, sinc_kernel)
        return (out * 255).round().clamp(0, 255) / 255

    def _compress(self, images: Tensor, quality_range: Range) -> Tensor:
        quality = images.new_empty(len(images)).uniform_(*quality_range)
        return self.jpeg(images.clamp(0, 1), quality)

    def _crop(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """Cut the same random square out of all pairs."""
        side, (h, w) = self.gt_size // self.scale, lq.shape[-2:]
        if min(h, w) < side:
            raise ValueError(f"ground truths of {gt.shape[-2]}x{gt.shape[-1]} pixels are smaller than {self.gt_size}")
        top, left = random.randint(0, h - side), random.randint(0, w - side)
        lq = lq[..., top : top + side, left : left + side]
        top, left = top * self.scale, left * self.scale
        return lq, gt[..., top : top + self.gt_size, left : left + self.gt_size]


def _random_factor(weights: Sequence[float], bounds: Range) -> float:
    """Draw whether to enlarge, shrink or keep, and by how much."""
    (direction,) = random.choices(("up", "down", "keep"), weights)
    if direction == "up":
        return uniform(1, bounds[1])
    return uniform(bounds[0], 1) if direction == "down" else 1.0


def _add_noise(images: Tensor, gaussian_prob: float, sigma: Range, poisson_scale: Range, gray_prob: float) -> Tensor:
    if uniform() < gaussian_prob:
        return add_random_gaussian_noise(images, sigma, gray_prob)
    return add_random_poisson_noise(images, poisson_scale, gray_prob)


def _resize_and_ring(images: Tensor, size: tuple[int, int], sinc_kernel: Tensor) -> Tensor:
    return blur(F.interpolate(images, size=size, mode=random.choice(RESIZE_MODES)), sinc_kernel)
