"""PSNR, SSIM, the bicubic baseline and the metric over test sets."""

import importlib.util
import math
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement

import mm_hat  # noqa: F401  registers the metric
from mm_hat.datasets.imresize import imresize
from mm_hat.evaluation import RestorationMetric, psnr, ssim, to_uint8, upscale_bicubic
from mm_hat.evaluation.bicubic import scale_between
from mmrepro.testing import check, load_case

HERE = Path(__file__).resolve().parent
# Means of PSNR and SSIM on Y that the official metric gives bicubic interpolation of the stored low-resolution images
BICUBIC = {
    ("Set5", 2): (33.6786, 0.9304),
    ("Set5", 3): (30.4058, 0.8690),
    ("Set5", 4): (28.4318, 0.8113),
    ("Set14", 4): (26.0928, 0.7049),
}


@pytest.fixture(scope="module")
def adapter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_metrics_of_hat", HERE / "parity_metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(seed: int = 0, size: tuple[int, int] = (40, 36), channels: int = 3) -> torch.Tensor:
    """Return a smooth random image in 8-bit levels."""
    coarse = np.random.default_rng(seed).random((channels, size[0] // 4, size[1] // 4)).astype(np.float32)
    return to_uint8(imresize(torch.from_numpy(coarse), 4))


def noisy(image: torch.Tensor, seed: int = 1) -> torch.Tensor:
    noise = torch.from_numpy(np.random.default_rng(seed).normal(0, 8, image.shape))
    return (image + noise).clamp(0, 255).to(torch.uint8)


def sample(restored: torch.Tensor, truth: torch.Tensor, **meta) -> dict:
    return {"output": {"pred_img": restored}, "gt_img": truth, **meta}


def images_of(adapter: ModuleType, set_name: str, scale: int) -> list[Path]:
    """Return the truths of a real set, or skip; fail where the data must be there."""
    folder, _ = adapter.folder_of(f"{set_name}_x{scale}")
    if folder is None:
        message = f"{set_name} x{scale} is not below MMREPRO_DATA_ROOT"
        if os.environ.get("MMREPRO_REQUIRE_DATA", "0") not in ("", "0"):
            pytest.fail(message)
        pytest.skip(message)
    return sorted(folder.glob("img_*_HR.png"))


def test_the_official_measures(adapter):
    case = load_case(HERE / "parity" / "metrics")
    check(case, adapter.metrics(case.public, case.state_dict(), case.inputs))


def test_the_official_bicubic_values_of_the_sets_that_are_there(adapter):
    images_of(adapter, "Set5", 2)
    whole = load_case(HERE / "parity" / "bicubic_benchmark")
    case = adapter.present_part(whole)
    outputs = adapter.bicubic_benchmark(case.public, {}, {})
    check(case, outputs)
    counts = [name for name in whole.expected if name.endswith(adapter.TIES) and name in outputs]
    assert counts
    for name in counts:  # of 5 images with 12,000 values and more, a few lie half way between two levels
        assert abs(outputs[name] - whole.expected[name]) * 5 * 12_000 < 4


@pytest.mark.parametrize(("set_name", "scale"), BICUBIC)
def test_the_metric_gives_the_official_values_of_bicubic_interpolation(adapter, set_name, scale):
    metric = RestorationMetric(prefix=set_name)
    truths = images_of(adapter, set_name, scale)
    for path in truths:
        low, truth = adapter.read(path.with_name(path.name.replace("_HR", "_LR"))), adapter.read(path)
        metric.process({"inputs": [low]}, [sample(truth, truth)])
    values = metric.evaluate(len(truths))
    expected = BICUBIC[set_name, scale]
    assert values[f"baseline_{set_name}/psnr"] == pytest.approx(expected[0], abs=1e-4)
    assert values[f"baseline_{set_name}/ssim"] == pytest.approx(expected[1], abs=1e-4)
    assert values[f"{set_name}/psnr"] == math.inf
    assert values[f"{set_name}/ssim"] == pytest.approx(1)
    assert values[f"{set_name}/images"] == len(truths)


def test_the_border_does_not_count():
    truth = picture()
    restored = truth.clone()
    restored[:, :3] = restored[:, :, -3:] = 255
    assert psnr(restored, truth, 3) == math.inf
    assert psnr(restored, truth, 2) < 40
    assert ssim(restored, truth, 3) == pytest.approx(1)


def test_one_channel_is_measured_as_it_is():
    truth, restored = picture(channels=1), noisy(picture(channels=1))
    assert psnr(restored, truth, 2, "Y") == psnr(restored, truth, 2)
    three = [image.repeat(3, 1, 1) for image in (restored, truth)]
    assert ssim(*three, 2) == pytest.approx(ssim(restored, truth, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: psnr(a, b[:, 1:]), r"shape \(3, 40, 36\), the ground truth \(3, 39, 36\)"),
        (lambda a, b: psnr(a[None], b[None]), r"must be \(C, H, W\)"),
        (lambda a, b: psnr(a / 255, b), r"restored values are torch.float32: .* see to_uint8"),
        (lambda a, b: psnr(a, b, 18), r"crop_border=18 leaves nothing of an image of 40 x 36"),
        (lambda a, b: psnr(a, b, -1), r"crop_border=-1"),
        (lambda a, b: psnr(a, b, 0, "L"), r"convert_to='L' is not known"),
        (lambda a, b: ssim(a, b, 13), r"needs 11 x 11 pixels; 14 x 10 are left .* border of 13"),
        (lambda a, b: to_uint8(a / 0.0), r"not finite"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change(picture(0), picture(1))


def test_levels_are_rounded_half_to_even_and_clamped():
    image = torch.tensor([-0.1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1.2])
    assert to_uint8(image).tolist() == [0, 0, 2, 2, 255]


def test_at_scale_1_the_baseline_is_the_input():
    image = picture()
    assert torch.equal(upscale_bicubic(image / 255, 1), image)


@pytest.mark.parametrize("high", [(20, 21), (20, 30), (19, 20), (5, 5)])
def test_sides_must_be_whole_multiples(high):
    with pytest.raises(ValueError, match=f"{high[0]} x {high[1]} pixels are not a whole multiple of 10 x 10"):
        scale_between(torch.zeros(3, 10, 10), torch.zeros(3, *high))


def test_sets_are_averaged_apart_and_batches_do_not_matter():
    truths = [picture(i) for i in range(4)]
    lows = [to_uint8(imresize(truth / 255, 1 / 2)) for truth in truths]
    samples = [
        sample(noisy(truth, i) / 255, truth, set="A" if i % 2 else "B", key=f"image{i}")
        for i, truth in enumerate(truths)
    ]
    values = []
    for size in (1, 4):
        metric = RestorationMetric()
        for start in range(0, 4, size):
            part = slice(start, start + size)
            metric.process({"inputs": lows[part]}, samples[part])
        values.append(metric.evaluate(4))
    assert values[0] == values[1]
    by_hand = [psnr(noisy(truths[i], i), truths[i], 2, "Y") for i in (1, 3)]
    assert values[0]["A/psnr"] == pytest.approx(sum(by_hand) / 2)
    baseline = [ssim(upscale_bicubic(lows[i] / 255, 2), truths[i], 2, "Y") for i in (0, 2)]
    assert values[0]["baseline_B/ssim"] == pytest.approx(sum(baseline) / 2)
    assert values[0]["A/images"] == 2


def test_channels_or_luma_and_the_border_are_options():
    truth = picture()
    low = to_uint8(imresize(truth / 255, 1 / 2))
    metric = RestorationMetric(crop_border=5, convert_to=None)
    metric.process({"inputs": [low]}, [sample(noisy(truth), truth)])
    values = metric.evaluate(1)
    assert values["psnr"] == psnr(noisy(truth), truth, 5)
    assert values["baseline_psnr"] == psnr(upscale_bicubic(low / 255, 2), truth, 5)


def test_the_evaluator_takes_the_models_samples_and_logs_a_table(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "info", lines.append)
    evaluator = Evaluator([{"type": "RestorationMetric", "per_image": True}])
    truth = picture()
    low = to_uint8(imresize(truth / 255, 1 / 4))
    result = BaseDataElement(metainfo={"key": "bird", "set": "Set1", "lr_source": "stored"}, gt_img=truth / 255)
    result.output = BaseDataElement(pred_img=noisy(truth) / 255)
    evaluator.process([result], {"inputs": [low / 255]})
    values = evaluator.evaluate(1)
    assert values["Set1/psnr"] == psnr(noisy(truth), truth, 4, "Y")
    head, image, mean = lines[0].strip().splitlines()
    assert head.split()[:5] == ["set", "images", "scale", "bicubic", "restored"]
    assert image.startswith("bird")
    assert f"{values['baseline_Set1/psnr']:.4f}/{values['baseline_Set1/ssim']:.4f}" in mean
    assert f"{values['Set1/psnr']:.4f}/{values['Set1/ssim']:.4f}" in mean
    assert "x4" in mean
    assert mean.endswith("stored")


def test_a_fault_names_the_image():
    truth, low = picture(), picture()[:, ::2, ::2]
    with pytest.raises(ValueError, match=r"lenna: the restored image has the shape \(3, 38, 36\)"):
        RestorationMetric().process({"inputs": [low]}, [sample(truth[:, :38], truth, key="lenna")])
    with pytest.raises(ValueError, match="lenna: 40 x 36 pixels are not a whole multiple of 19 x 18"):
        RestorationMetric().process({"inputs": [low[:, 1:]]}, [sample(truth, truth, key="lenna")])


def test_no_image_at_all_is_an_error():
    with pytest.raises(ValueError, match="no image was evaluated"):
        RestorationMetric().compute_metrics([])


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="convert_to='y' is not known"):
        RestorationMetric(convert_to="y")
    with pytest.raises(ValueError, match="crop_border=-1 is negative"):
        RestorationMetric(crop_border=-1)
