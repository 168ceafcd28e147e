"""Measures of restored images; importing this module registers the metric in mmengine's ``METRICS``."""

from mm_hat.evaluation.bicubic import upscale_bicubic
from mm_hat.evaluation.metric import RestorationMetric
from mm_hat.evaluation.psnr_ssim import luma, psnr, ssim, to_uint8

__all__ = ["RestorationMetric", "luma", "psnr", "ssim", "to_uint8", "upscale_bicubic"]
