"""The stored case of the data pipeline: pictures and targets of two frames, plain and augmented."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from PIL import Image

PREPROCESSOR = dict(
    type="DetDataPreprocessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)
COLUMNS = ("depth", "heading_bin", "heading_res")  # stored as columns, ours are flat
TARGETS = ("labels", "boxes", "boxes_3d", "size_3d", *COLUMNS)
SERVED = dict(depth_scale="normal", bbox2d_type="anno", meanshape=False, clip_2d=False, aug_calib=False)


def pattern(width: int, height: int, a: int) -> np.ndarray:
    """Return the picture of a formula, RGB uint8."""
    y, x, channel = np.ogrid[:height, :width, :3]
    values = x * x // 97 + a * y + 50 * channel + (x * y) // (211 + 31 * channel)
    return (values % 256).astype(np.uint8)


def write(root: Path, given: dict) -> None:
    """Write the case's frames in KITTI's layout."""
    for part in ("image_2", "calib", "label_2"):
        (root / "training" / part).mkdir(parents=True)
    for number, (frame, labels) in enumerate(zip(given["frames"], given["labels"], strict=True)):
        name = f"{number:06d}"
        Image.fromarray(pattern(**frame)).save(root / "training/image_2" / f"{name}.png")
        (root / "training/calib" / f"{name}.txt").write_text(given["calib_text"], encoding="utf-8")
        (root / "training/label_2" / f"{name}.txt").write_text(labels, encoding="utf-8")


def steps(config: dict, train: bool) -> list[dict]:
    """Return the pipeline of a case's settings.

    Raises:
        ValueError: a setting is one that the paper does not use.
    """
    if other := {name: config[name] for name, value in SERVED.items() if config.get(name, value) != value}:
        raise ValueError(f"the settings {other} are not served, only {SERVED}")
    crop = dict(
        type="KittiFlipCropAffine",
        size=tuple(config["resolution"]),
        flip_prob=config["random_flip"] if train else 0,
        crop_prob=config["random_crop"] if train and config["aug_crop"] else 0,
        scale=config["scale"],
        shift=config["shift"],
    )
    distort = [dict(type="KittiPhotometricDistort", wrap_uint8=True)] if train and config["aug_pd"] else []
    load = [dict(type="LoadImageFromFile"), dict(type="LoadKittiAnnotations3D")]
    return [*load, *distort, crop, dict(type="PackMono3DInputs")]


def pipeline(manifest: dict, state: dict, inputs: dict) -> dict:
    """The network's inputs and the targets of two frames, plain and with seeded augmentation."""
    config, found = manifest["config"], {}
    prepare = MODELS.build(PREPROCESSOR)
    with TemporaryDirectory() as folder:
        write(Path(folder), manifest["given"])
        names = [line.split()[0] for labels in manifest["given"]["labels"] for line in labels.splitlines()]
        frames = dict(
            type="Kitti3DDataset",
            data_root=folder,
            ann_file="",
            writelist=tuple(config["writelist"]),
            other_classes=tuple(names),
            test_mode=True,  # a case may have nothing to train on
            serialize_data=False,  # it collects the garbage of all of the process, which takes half a second
        )
        read = {train: DATASETS.build(dict(frames, pipeline=steps(config, train))) for train in (False, True)}
        # such as train1_3_image and train1_3_image_mean: frame 1 with seed 3, drawn once
        for which, seed in dict.fromkeys(tuple(name.split("_")[:2]) for name in manifest["expected_slice"]):
            if seed != "None":
                np.random.seed(int(seed))  # noqa: NPY002
            packed = read[which.startswith("train")][int(which.removeprefix("train").removeprefix("val"))]
            image = prepare(dict(inputs=[packed["inputs"]], data_samples=[packed["data_samples"]]))["inputs"][0]
            found |= of_sample(f"{which}_{seed}", image, packed["data_samples"])
    return found


def of_sample(name: str, image: torch.Tensor, sample: object) -> dict[str, np.ndarray]:
    """Return what the case stores of one sample."""
    targets = sample.gt_instances
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    values = {
        "image": image.numpy(),
        # float32 sums of half a million pixels: only numpy's sums of channels that lie side by side, as they do in the
        # official array, have the stored rounding errors, up to 1e-3 of a mean
        "image_mean": pixels.mean((0, 1)),
        "image_std": pixels.std((0, 1)),
        "P2": np.array(sample.cam2img),
        "valid_rows": targets.rows.numpy(),
        **{key: (targets[key][:, None] if key in COLUMNS else targets[key]).numpy() for key in TARGETS},
    }
    return {f"{name}_{key}": value for key, value in values.items()}
