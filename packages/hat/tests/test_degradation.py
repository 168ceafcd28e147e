"""The degradation of a batch: sharpening, blurring, noise, the pipeline, and the preprocessor that runs it."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, TRANSFORMS
from mmengine.structures import BaseDataElement

from mm_hat.datasets.degradation import RealESRGANDegradation
from mm_hat.datasets.degradation_kernels import delta, gaussian_family, pad_kernel
from mm_hat.datasets.noise import add_random_gaussian_noise, add_random_poisson_noise
from mm_hat.datasets.usm import USMSharp, blur
from mmrepro.testing.cases import check, load_case

HERE = Path(__file__).resolve().parent
SIDE = 96


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Return two textured pictures and their kernels."""
    seed(0)
    coarse = torch.rand(2, 3, SIDE // 8, SIDE // 8)
    gt = F.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)
    kernel = torch.from_numpy(np.stack([pad_kernel(gaussian_family(9, 1.5, 0.8, 0.4)), delta()])).float()
    return {"gt": (gt * 255).round().byte(), "kernel1": kernel, "kernel2": kernel, "sinc_kernel": kernel.flip(0)}


def small(**options) -> RealESRGANDegradation:
    return RealESRGANDegradation(**dict(gt_size=64, queue_size=0, resize_range=(0.5, 1.5)) | options)


@pytest.mark.parametrize("name", ["degradation_ops", "degradation_pipeline"])
def test_parity(name):
    spec = importlib.util.spec_from_file_location("mm_hat_parity_degradation", HERE / "parity_degradation.py")
    adapter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(adapter)
    case = load_case(HERE / "parity" / name)
    check(case, getattr(adapter, name)(case.public, case.state_dict(), case.inputs))


def test_blur_correlates_each_picture_with_its_kernel():
    seed(1)
    images, kernels = torch.rand(2, 3, 12, 9), torch.rand(2, 5, 5)
    out = blur(images, kernels)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    for b, y, x in ((0, 0, 0), (1, 11, 8), (1, 5, 3)):
        window = padded[b, 2, y : y + 5, x : x + 5]
        assert out[b, 2, y, x].item() == pytest.approx((window * kernels[b].numpy()).sum(), rel=1e-5)
    torch.testing.assert_close(blur(images, kernels[1])[1], out[1])
    torch.testing.assert_close(blur(images, torch.from_numpy(delta(5))), images)


def test_sharpening_raises_edges_and_leaves_flat_places_alone():
    image = torch.full((1, 3, 80, 80), 0.3)
    image[..., 40:] = 0.6
    sharp = USMSharp()(image)
    assert sharp[0, 0, 40, 40] > 0.62
    assert sharp[0, 0, 40, 39] < 0.28
    torch.testing.assert_close(sharp[..., :3], image[..., :3], atol=1e-4, rtol=0)
    faint = 0.3 + (image - 0.3) / 30  # an edge of 2.6 levels, below the threshold
    torch.testing.assert_close(USMSharp()(faint), faint)


def test_gaussian_noise_has_its_deviation_and_is_grey_when_asked_for():
    seed(2)
    images = torch.full((4, 3, 64, 64), 0.5)
    colour = add_random_gaussian_noise(images, (20, 20), 0) - images
    assert colour.std().item() == pytest.approx(20 / 255, rel=0.03)
    assert not torch.equal(colour[:, 0], colour[:, 1])
    gray = add_random_gaussian_noise(images, (20, 20), 1) - images
    torch.testing.assert_close(gray[:, 0], gray[:, 1])
    torch.testing.assert_close(gray[0], gray[3])  # one map for the batch


def test_poisson_noise_grows_with_brightness():
    seed(3)
    ramp = torch.linspace(0, 1, 256).round(decimals=4).expand(1, 3, 200, 256)
    noise = add_random_poisson_noise(ramp, (1, 1), 0) - ramp
    spread = noise.std(dim=2).mean(1)[0]  # by level
    levels = (ramp[0, 0, 0] * 255).round() / 255
    expected = (levels / 256).sqrt()  # 256 photons at white
    torch.testing.assert_close(spread[5:200], expected[5:200], rtol=0.25, atol=0)
    gray = add_random_poisson_noise(ramp, (1, 1), 1) - ramp
    torch.testing.assert_close(gray[:, 0], gray[:, 1])


@pytest.mark.parametrize("number", range(6))
def test_pairs_of_the_right_sizes_in_whole_levels(batch, number):
    seed(number)
    out = small()(**batch)
    assert out["img"].shape == (2, 3, 16, 16)
    assert out["gt"].shape == out["gt_usm"].shape == (2, 3, 64, 64)
    levels = out["img"] * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert 0 <= out["img"].min() <= out["img"].max() <= 1


def test_a_pair_shows_the_same_place(batch):
    gentle = dict(noise_range=(0, 0.1), noise_range2=(0, 0.1), gaussian_noise_prob=1, gaussian_noise_prob2=1)
    clean = gentle | dict(jpeg_range=(99, 100), jpeg_range2=(99, 100), resize_prob=(0, 0, 1), resize_prob2=(0, 0, 1))
    seed(4)
    out = small(**clean)(**batch)
    reduced = F.interpolate(out["gt"], scale_factor=0.25, mode="area")
    moved = torch.roll(reduced, 4, dims=-1)
    assert (out["img"] - reduced).abs().mean() < 0.5 * (out["img"] - moved).abs().mean()


def test_the_ground_truth_is_sharp_from_the_start_or_in_a_second_version(batch):
    gt = batch["gt"].float() / 255
    seed(5)
    gan = small(gt_size=SIDE)(**batch)
    torch.testing.assert_close(gan["gt"], gt)
    torch.testing.assert_close(gan["gt_usm"], USMSharp()(gt))
    seed(5)
    mse = small(gt_size=SIDE, gt_usm=True)(**batch)
    torch.testing.assert_close(mse["gt"], USMSharp()(gt))
    torch.testing.assert_close(mse["img"], gan["img"])  # what is degraded is sharp in both


def test_autocast_does_not_change_the_pairs(batch):
    seed(6)
    expected = small()(**batch)
    seed(6)
    with torch.autocast("cpu", torch.bfloat16):
        actual = small()(**batch)
    assert all(torch.equal(actual[key], expected[key]) for key in expected)


def test_the_pool_mixes_batches(batch):
    degradation = small(queue_size=2)
    seed(7)
    degradation(**batch)
    first = degradation.pool.gt.clone()
    out = degradation(**batch)
    assert any(torch.equal(out["gt"][0], pair) for pair in first)


def test_nothing_enters_a_state_dict(batch):
    degradation = small(queue_size=2)
    degradation(**batch)
    assert not degradation.state_dict()
    assert not list(degradation.parameters())


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda b: RealESRGANDegradation(gt_size=66), "gt_size=66 must be a multiple of scale=4"),
        (lambda b: small(gt_size=128)(**b), "96x96 pixels are smaller than 128"),
        (lambda b: small()(**b | {"kernel1": b["kernel1"][:1]}), "1 kernels for 2 images"),
        (lambda b: small()(**b | {"gt": b["gt"][..., :20, :]}), "20x96 pixels are too small"),
        (lambda b: blur(torch.zeros(1, 3, 9, 9), torch.zeros(4, 4)), "odd side"),
    ],
)
def test_bad_input_is_named(batch, call, fault):
    with pytest.raises(ValueError, match=fault):
        call(batch)


@pytest.fixture
def preprocessor() -> torch.nn.Module:
    degradation = dict(type="RealESRGANDegradation", gt_size=64, queue_size=0, resize_range=(0.5, 1.5))
    return MODELS.build(dict(type="DegradingDataPreprocessor", degradation=degradation))


def test_the_preprocessor_degrades_training_batches(batch, preprocessor):
    seed(8)
    out = preprocessor({key: list(value) for key, value in batch.items()} | {"gt_path": ["a", "b"]}, training=True)
    seed(8)
    expected = small()(**batch)
    assert torch.equal(out["inputs"], expected["img"])
    assert torch.equal(out["data_samples"]["gt_img"], expected["gt"])
    assert torch.equal(out["data_samples"]["gt_usm"], expected["gt_usm"])


def test_the_preprocessor_lets_pairs_pass(batch, preprocessor):
    def pairs() -> dict:
        samples = [BaseDataElement() for _ in batch["gt"]]
        for sample, gt in zip(samples, batch["gt"], strict=True):
            sample.gt_img = gt
        return {"inputs": list(batch["gt"][..., ::4, ::4]), "data_samples": samples}

    out = preprocessor(pairs())
    torch.testing.assert_close(out["inputs"], batch["gt"][..., ::4, ::4] / 255)
    assert "gt_usm" not in out["data_samples"][0]
    sharp = preprocessor(pairs(), training=True)["data_samples"][1].gt_usm
    torch.testing.assert_close(sharp, USMSharp()(batch["gt"][1:] / 255)[0])
    with pytest.raises(KeyError, match="kernel1"):
        preprocessor({"gt": list(batch["gt"])}, training=True)


def test_noisy_inputs_for_denoising():
    truth = np.full((64, 64, 3), 128, np.uint8)
    noisy = TRANSFORMS.build(dict(type="SRAddGaussianNoise", sigma=25, seed=0))
    first, again, other = (noisy({"gt": truth, "gt_path": path})["img"] for path in ("x/a.png", "y/a.png", "b.png"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert (first - truth / 255).std() == pytest.approx(25 / 255, rel=0.03)
    gray = TRANSFORMS.build(dict(type="SRAddGaussianNoise", sigma=(5, 50), gray=True))({"gt": truth})["img"]
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    with pytest.raises(ValueError, match="empty range"):
        TRANSFORMS.build(dict(type="SRAddGaussianNoise", sigma=(5, 1)))


def test_compressed_inputs_for_artefact_removal(batch):
    truth = batch["gt"][0].permute(1, 2, 0).numpy()

    def error(**options) -> float:
        image = TRANSFORMS.build(dict(type="SRCompressJPEG", **options))({"gt": truth})["img"]
        assert image.dtype == np.uint8
        assert image.shape == truth.shape
        return np.abs(image.astype(float) - truth).mean()

    assert error(quality=10) > 2 * error(quality=90)
    image = TRANSFORMS.build(dict(type="SRCompressJPEG", quality=(10, 40), gray=True))({"gt": truth / np.float32(255)})
    np.testing.assert_array_equal(image["img"][..., 0], image["img"][..., 1])
    with pytest.raises(ValueError, match="quality=0 must lie between 1 and 95"):
        TRANSFORMS.build(dict(type="SRCompressJPEG", quality=0))
