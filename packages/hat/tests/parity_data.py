"""The parity adapter's part for data: resizing, training patches, sampling order, the list of DF2K's sub-images."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mm_hat.datasets import BasicImageDataset, EnlargedSampler, ImageNetSRDataset, imresize
from mm_hat.datasets.sub_images import DF2K_PICTURES, cut_folder, list_lines
from mmrepro.datasets import registry


def imresize_bicubic(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Resize both stored images by all factors; a name says which: ``a_down2``, ``b_x0.7``."""
    del manifest, state
    factors = {f"{way}{s}": s if way == "up" else 1 / s for way in ("up", "down") for s in (2, 3, 4)} | {"x0.7": 0.7}
    images = {name.removeprefix("im_"): image.astype(np.float32) / 255 for name, image in inputs.items()}
    return {f"{image}_{factor}": imresize(images[image], by) for image in images for factor, by in factors.items()}


def datasets(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Write the stored images as PNG files and load them as training does, with the case's seeds."""
    del state
    config = manifest["config"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("gt", "lq", "imagenet"):
            (root / name).mkdir()
            Image.fromarray(inputs[f"{name}_img"][..., ::-1].copy()).save(root / name / "a.png")
        return _paired(root, config["paired"]) | _imagenet(root, config["imagenet"]) | _sampled(config["sampler"])


def df2k_meta_info(manifest: dict, state: dict, inputs: dict[str, np.ndarray]) -> dict:
    """State what the catalog says of the official list, and what our tools write for pictures of DF2K's names.

    ``first``, ``last`` and ``shapes`` are cut and listed here. Number of lines, bytes and checksum are NOT computed:
    that takes the 3450 pictures (20 GB). They are the catalog's entry, by which a list that a user downloads or writes
    is verified; the case shows that the entry is the official file's.
    """
    del manifest, state, inputs
    file = registry.get("df2k").files[0]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.mkdir()
        # Text order puts Flickr2K's six digits between DIV2K's four: 000001, ..., 000199, 0001, 000200, ..., 0800
        for name, size in {
            "000001": (960, 480),
            "0001": (480, 480),
            "000199": (480, 480),
            "0800": (2040, 1356),
        }.items():
            Image.new("RGB", size).save(source / f"{name}.png")
        cut_folder(source, target)
        lines = list(list_lines(target))
    order = list(dict.fromkeys(line.partition("_")[0] for line in lines))
    if order != ["000001", "000199", "0001", "0800"]:
        raise AssertionError(f"the list is not in the published order: {order}")
    shapes = sorted({line.partition(" ")[2] for line in lines})
    return {
        "lines": np.asarray(file.rows),
        "info/lines": np.asarray(file.rows, np.float64),
        "info/first": lines[:3],
        "info/last": lines[-3:],
        "info/sha256": file.sha256,
        "info/bytes": np.asarray(file.bytes, np.float64),
        "info/shapes": shapes,
        "info/distinct_sources": np.asarray(sum(DF2K_PICTURES.values()), np.float64),
    }


def _patch_pipeline(scale: int, gt_size: int) -> list[dict]:
    return [
        dict(type="SRLoadImageFromFile", key="img"),
        dict(type="SRLoadImageFromFile", key="gt"),
        dict(type="SRPairedRandomCrop", gt_patch_size=gt_size, scale=scale),
        dict(type="SRFlip", direction="horizontal"),
        dict(type="SRFlip", direction="vertical"),
        dict(type="SRRandomTransposeHW"),
        dict(type="SRPackInputs"),
    ]


def _paired(root: Path, config: dict) -> dict:
    scale = config["scale"]
    sides = dict(img=str(root / "lq"), gt=str(root / "gt"))
    training = BasicImageDataset(sides, pipeline=_patch_pipeline(scale, config["gt_size"]))
    outputs = {}
    for number, seed in enumerate(config["seeds"]):
        random.seed(seed)
        sample = training[0]
        outputs[f"paired_lq_{number}"] = sample["inputs"].numpy()
        outputs[f"paired_gt_{number}"] = sample["data_samples"].gt_img.numpy()
    loads = [dict(type="SRLoadImageFromFile", key=key) for key in ("img", "gt")]
    cut = [*loads, dict(type="SRCropLike", scale=scale), dict(type="SRPackInputs")]
    validation = BasicImageDataset(sides, pipeline=cut, test_mode=True)
    outputs["paired_val_gt_shape"] = np.asarray(validation[0]["data_samples"].gt_img.shape)
    return outputs


def _imagenet(root: Path, config: dict) -> dict:
    dataset = ImageNetSRDataset(str(root / "imagenet"), config["scale"], config["gt_size"])
    outputs = {}
    for number, seed in enumerate(config["seeds"]):
        random.seed(seed)
        sample = dataset[0]
        truth = sample["data_samples"].gt_img
        outputs[f"imagenet_lq_{number}"] = sample["inputs"].numpy()
        outputs[f"imagenet_gt_{number}"] = (truth if truth.is_floating_point() else truth / 255).numpy()
    return outputs


def _sampled(config: dict) -> dict:
    outputs = {}
    for rank in range(config["num_replicas"]):
        sampler = EnlargedSampler(range(config["dataset_len"]), config["ratio"], 0, rank, config["num_replicas"])
        for epoch in config["epochs"]:
            sampler.set_epoch(epoch)
            outputs[f"sampler_ep{epoch}_rank{rank}"] = np.asarray(list(sampler))
    return outputs
