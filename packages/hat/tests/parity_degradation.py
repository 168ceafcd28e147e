"""The parity adapter's part for the real-world degradation: its operations, and the pipeline of data set and batch."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from mm_hat.datasets.degradation import RealESRGANDegradation
from mm_hat.datasets.degradation_kernels import KINDS, circular_lowpass, pad_kernel, random_kernel
from mm_hat.datasets.jpeg import DiffJPEG
from mm_hat.datasets.noise import add_random_gaussian_noise, add_random_poisson_noise
from mm_hat.datasets.real_esrgan import RealESRGANDataset
from mm_hat.datasets.usm import USMSharp, blur

# The notes' settings of the operations
SIGMA, BETA_GAUSSIAN, BETA_PLATEAU = (0.2, 3), (0.5, 4), (1, 2)
USM_MARGIN = 30
NOISE, POISSON, GRAY = (1, 30), (0.05, 3), 0.4
JPEG_QUALITIES = (35, 80)  # the case has them only among what is expected
CROP = 160  # of the pictures that the pipeline is given


def seed_all(seed: int, with_torch: bool = True) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if with_torch:
        torch.manual_seed(seed)


def degradation_ops(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return kernels, and what JPEG, sharpening, blurring and noise make of a picture and its mirror image."""
    config = manifest["config"]
    outputs = {}
    for i, (kind, size) in enumerate(zip(KINDS, config["kernel_sizes"], strict=True)):
        seed_all(config["kernel_seed_base"] + i, with_torch=False)
        outputs[f"kernel_{kind}"] = random_kernel(
            [kind], [1.0], size, sigma=SIGMA, beta_gaussian=BETA_GAUSSIAN, beta_plateau=BETA_PLATEAU
        )
    for cutoff, size, padded in config["sinc"]:
        kernel = circular_lowpass(cutoff, size)
        name = f"sinc_{size}_pad{padded}" if padded else f"sinc_{size}"
        outputs[name] = pad_kernel(kernel, padded) if padded else kernel

    image = torch.from_numpy(inputs["img"].astype(np.float32) / np.float32(255)).permute(2, 0, 1)
    x = torch.stack((image, image.flip(-1)))
    quality = torch.tensor(config.get("jpeg_q", JPEG_QUALITIES), dtype=torch.float32)
    kernels = [pad_kernel(outputs[name]) for name in ("kernel_aniso", "kernel_generalized_aniso")]
    margin = USM_MARGIN
    usm = USMSharp()(F.pad(x, (margin,) * 4, mode="reflect"))[..., margin:-margin, margin:-margin]
    outputs |= {
        "jpeg_q": quality,
        "jpeg": DiffJPEG(differentiable=False)(x, quality),
        "usm": usm,
        "filter2d": blur(x, torch.from_numpy(np.stack(kernels)).float()),
    }
    torch.manual_seed(config["gauss_seed"])
    outputs["gauss"] = add_random_gaussian_noise(x, NOISE, GRAY)
    torch.manual_seed(config["poisson_seed"])
    outputs["poisson"] = add_random_poisson_noise(x, POISSON, GRAY)
    return {name: np.asarray(value) for name, value in outputs.items()}


def degradation_pipeline(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return a data set's item for each seed, and three batches of these items after the degradation and the pool."""
    config, outputs, items = manifest["config"], {}, []
    with TemporaryDirectory() as folder:
        Image.fromarray(inputs["gt"][..., ::-1]).save(Path(folder) / "gt.png")
        dataset = RealESRGANDataset(folder, **config["dataset"])
        for seed in config["seeds"]:
            seed_all(seed, with_torch=False)
            items.append(dataset[0])
    for seed, item in zip(config["seeds"], items, strict=True):
        gt = item["gt"].float() / 255
        outputs |= {
            f"kernel1_{seed}": item["kernel1"],
            f"kernel2_{seed}": item["kernel2"],
            f"sinc_{seed}": item["sinc_kernel"],
            f"gt_shape_{seed}": np.array(gt.shape),
            f"gt_mean_{seed}": gt.double().mean(),
        }

    degradation = RealESRGANDegradation(**config["model"])
    for i, seed in enumerate(config["seeds"]):
        pair = (items[i], items[(i + 1) % len(items)])
        batch = {key: torch.stack([item[key] for item in pair]) for key in ("kernel1", "kernel2", "sinc_kernel")}
        gt = torch.stack([item["gt"][:, :CROP, :CROP] for item in pair])
        seed_all(seed)
        degraded = degradation(gt, **batch)
        outputs |= {
            f"lq_{i}": (degraded["img"] * 255).round().byte(),
            f"gtcrop_{i}": degraded["gt"],
            f"gtusm_{i}": degraded["gt_usm"],
        }
    return {name: np.asarray(value) for name, value in outputs.items()}
