"""The models of the paper; importing this module registers them in mmengine's ``MODELS``."""

from mm_hat.models.bicubic import BicubicUpscaler
from mm_hat.models.channel_attention import CAB, ChannelAttention
from mm_hat.models.discriminator import UNetDiscriminatorWithSpectralNorm
from mm_hat.models.hat import HAT
from mm_hat.models.hybrid_attention import HAB, WindowAttention
from mm_hat.models.losses import RestorationGANLoss, RestorationL1Loss, RestorationPerceptualLoss
from mm_hat.models.overlapping_attention import OCAB
from mm_hat.models.preprocessor import RestorationDataPreprocessor
from mm_hat.models.real_hat_gan import RealHATGAN
from mm_hat.models.residual_group import RHAG
from mm_hat.models.residual_hat import ResidualHAT
from mm_hat.models.restorer import ImageRestorer
from mm_hat.models.upsampling import Upsample

__all__ = [
    "CAB",
    "HAB",
    "HAT",
    "OCAB",
    "RHAG",
    "BicubicUpscaler",
    "ChannelAttention",
    "ImageRestorer",
    "RealHATGAN",
    "ResidualHAT",
    "RestorationDataPreprocessor",
    "RestorationGANLoss",
    "RestorationL1Loss",
    "RestorationPerceptualLoss",
    "UNetDiscriminatorWithSpectralNorm",
    "Upsample",
    "WindowAttention",
]
