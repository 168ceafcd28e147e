"""Parity cases ``metrics`` and ``bicubic_benchmark``: the official measures, computed by this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mm_hat.datasets.imresize import imresize
from mm_hat.evaluation import luma, psnr, ssim, to_uint8, upscale_bicubic
from mmrepro.datasets.registry import DataNotFoundError, data_roots
from mmrepro.testing.cases import Case

BORDERS = (0, 2, 3, 4)
CHANNELS = {"y": "Y", "rgb": None}
PAIRED = ("Set5_x2", "Set5_x3", "Set5_x4", "BSD100_x2", "BSD100_x3", "BSD100_x4")  # low-resolution images are stored
MADE = ("Urban100_x2_from_srf4_hr", "Urban100_x3_from_srf4_hr")  # they are made from the x4 folder's full-size truth
# Values that lie half way between two levels count here, and the order of a float32 sum decides them: the case's notes
# allow a few pixels. They are compared by their number in test_metrics.py.
TIES = "stored_lr_vs_float_imresize/mean_fraction_of_values_different"


def metrics(manifest: Mapping, state: Mapping, inputs: Mapping) -> dict:
    """Return both measures for every border and colour space, and the conversions they rest on; images are BGR."""
    truth, restored = from_bgr(inputs["gt"]), from_bgr(inputs["pred"])
    outputs: dict[str, object] = {"psnr_identical_is_inf": np.isposinf(psnr(truth, truth))}
    for border in BORDERS:
        for name, convert_to in CHANNELS.items():
            for measure in (psnr, ssim):
                value = measure(restored, truth, border, convert_to)
                outputs[f"{measure.__name__}_cb{border}_{name}"] = value
    y = luma(truth)[0]
    image = torch.from_numpy(inputs["net_out"][0]) * 0.4 + 0.5
    return outputs | {
        "y_float": y.numpy(),
        "y_uint8": y.round().to(torch.uint8).numpy(),
        "tensor2img": to_uint8(image).flip(0).permute(1, 2, 0).numpy(),
    }


def bicubic_benchmark(manifest: Mapping, state: Mapping, inputs: Mapping) -> dict:
    """Return the bicubic values of every benchmark set, or of those that the config's ``sets`` names.

    Raises:
        DataNotFoundError: the images of a set are not there.
    """
    sets = {name: folder_of(name) for name in manifest["config"].get("sets", (*PAIRED, *MADE))}
    missing = [name for name, (folder, _) in sets.items() if folder is None]
    if missing:
        raise DataNotFoundError(f"{', '.join(missing)}: no such images below {', '.join(map(str, data_roots()))}")
    outputs: dict[str, object] = {}
    for name, (folder, scale) in sets.items():
        truths = sorted(folder.glob("img_*_HR.png"))
        part = paired_values(truths, scale) if name in PAIRED else made_values(truths, scale)
        outputs |= {
            (f"info/{name}/{key[5:]}" if key.startswith("info/") else f"{name}_{key}"): part[key] for key in part
        }
    return outputs


def present_part(case: Case) -> Case:
    """Return the case of the benchmarks without the sets whose images are not there, and without ``TIES``.

    Raises:
        DataNotFoundError: no set is there.
    """
    sets = [name for name in (*PAIRED, *MADE) if folder_of(name)[0] is not None]
    if not sets:
        raise DataNotFoundError(f"no benchmark set lies below {', '.join(map(str, data_roots()))}")
    expected = {name: value for name, value in case.expected.items() if name.split("/")[1:2] in [[s] for s in sets]}
    manifest = case.manifest | {
        "config": case.config | {"sets": sets},
        "expected": {name: value for name, value in expected.items() if not name.endswith(TIES)},
    }
    arrays = {key: array for key, array in case.arrays.items() if key.startswith(tuple(f"expected:{s}_" for s in sets))}
    return replace(case, manifest=manifest, arrays=arrays)


def folder_of(name: str) -> tuple[Path | None, int]:
    """Return where the images of ``<set>_x<scale>`` lie, None where they are not, and the scale."""
    set_name, scale, other = re.fullmatch(r"(\w+?)_x(\d)(?:_from_srf(\d)_hr)?", name).groups()
    below = Path("sr") / set_name / f"image_SRF_{other or scale}"
    found = (root / below for root in data_roots() if (root / below).is_dir())
    return next(found, None), int(scale)


def paired_values(truths: list[Path], scale: int) -> dict:
    """Return the values of images with stored low resolution, and how that differs from one made anew."""
    rows, regenerated, differences, levels, exact = [], [], [], [], []
    for path in truths:
        truth, stored = read(path), read(path.with_name(path.name.replace("_HR", "_LR")))
        made, exactly = shrink(truth, scale), imresize(truth, 1 / scale, mode="uint8", border="replicate")
        bicubic = upscale_bicubic(stored / 255, scale)
        rows.append([f(bicubic, truth, scale, c) for c in CHANNELS.values() for f in (psnr, ssim)])
        regenerated.append(both_on_luma(made, truth, scale))
        gaps = (stored.int() - made.int()).abs()
        differences.append((gaps > 0).double().mean().item())
        levels.append(gaps.max().item())
        exact.append((stored != exactly).double().mean().item())
    table, names = np.array(rows), [path.stem.removesuffix("_HR") for path in truths]
    columns = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb")
    return {
        **dict(zip(columns, table.T, strict=True)),
        **dict(zip(("regen_lr_psnr_y", "regen_lr_ssim_y"), np.array(regenerated).T, strict=True)),
        "info/images": len(rows),
        "info/names": names if len(names) < 10 else [names[0], names[-1]],
        "info/mean_psnr_ssim_y_psnr_ssim_rgb": table.mean(0),
        "info/mean_regenerated_lr_psnr_ssim_y": np.mean(regenerated, 0),
        "info/stored_lr_vs_float_imresize/max_abs_level_difference": max(levels),
        "info/stored_lr_vs_float_imresize/mean_fraction_of_values_different": mean(differences),
        "info/stored_lr_vs_uint8_replicate_imresize_mean_fraction_different": mean(exact),
    }


def made_values(truths: list[Path], scale: int) -> dict:
    """Return the values of images whose low resolution is made from the truth, cut to a multiple of the scale."""
    rows = []
    for path in truths:
        truth = read(path)
        height, width = (side // scale * scale for side in truth.shape[-2:])
        truth = truth[:, :height, :width]
        rows.append(both_on_luma(shrink(truth, scale), truth, scale))
    table = np.array(rows)
    return {
        "psnr_y": table[:, 0],
        "ssim_y": table[:, 1],
        "info/images": len(rows),
        "info/mean_psnr_ssim_y": table.mean(0),
    }


def both_on_luma(low: Tensor, truth: Tensor, scale: int) -> list[float]:
    """Return PSNR and SSIM of the bicubic enlargement of 8-bit levels."""
    bicubic = upscale_bicubic(low / 255, scale)
    return [measure(bicubic, truth, scale, "Y") for measure in (psnr, ssim)]


def shrink(truth: Tensor, scale: int) -> Tensor:
    """Return 8-bit levels made smaller in floating point and rounded once, as BasicSR's function does."""
    return to_uint8(imresize(truth / 255, 1 / scale))


def read(path: Path) -> Tensor:
    """Return an image file as RGB levels (3, H, W); a grey one has three equal channels."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def from_bgr(image: np.ndarray) -> Tensor:
    """Return an image (H, W, 3) of OpenCV as RGB (3, H, W)."""
    return torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
