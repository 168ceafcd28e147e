"""The data of HAT: pictures, pairs of them, and how low-resolution ones are made. Importing registers all of it."""

from . import transforms  # registers the transforms
from .benchmark import SRBenchmarkDataset
from .benchmark_sets import SRBenchmarkSets
from .degradation import RealESRGANDegradation
from .degraded import DegradedImageDataset
from .degraded_inputs import AddGaussianNoise, CompressJPEG
from .degrading_preprocessor import DegradingDataPreprocessor
from .generated import GeneratedImageDataset
from .imagenet import ImageNetSRDataset
from .imresize import imresize
from .pair_pool import PairPoolHook
from .paired import BasicImageDataset
from .real_esrgan import RealESRGANDataset
from .sampler import EnlargedSampler

__all__ = [
    "AddGaussianNoise",
    "BasicImageDataset",
    "CompressJPEG",
    "DegradedImageDataset",
    "DegradingDataPreprocessor",
    "EnlargedSampler",
    "GeneratedImageDataset",
    "ImageNetSRDataset",
    "PairPoolHook",
    "RealESRGANDataset",
    "RealESRGANDegradation",
    "SRBenchmarkDataset",
    "SRBenchmarkSets",
    "imresize",
    "transforms",
]
