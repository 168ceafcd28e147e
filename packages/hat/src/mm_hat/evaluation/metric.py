"""PSNR and SSIM of a test set, with the bicubic baseline beside them (arXiv 2205.04437, section 4.1 and table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.registry import METRICS
from torch import Tensor

from mm_hat.evaluation.bicubic import scale_between, upscale_bicubic
from mm_hat.evaluation.psnr_ssim import psnr, ssim, to_uint8

MEASURES = {"psnr": psnr, "ssim": ssim}


@METRICS.register_module()
class RestorationMetric(BaseMetric):
    """Mean PSNR and SSIM over the images of each test set, beside those of bicubic interpolation.

    Every image counts once and as much as any other: the mean is of the images' values, not of their errors. The keys
    are ``psnr``, ``ssim``, ``images`` and, for the same images enlarged by bicubic interpolation, ``baseline_psnr`` and
    ``baseline_ssim``. The set's name goes before the measure's: ``Set5/psnr`` and ``baseline_Set5/psnr``. A table of
    all sets is logged. Equal images have an infinite PSNR, and so has their mean.

    ``CheckpointHook`` needs ``rule="greater"`` beside ``save_best="Set5/psnr"``: mmengine does not know these names.

    Args:
        crop_border: pixels that do not count on each side; None for as many as the scale, which the papers take.
        convert_to: ``"Y"`` measures the luma, which the papers report; None the RGB channels.
        per_image: log one line for each image too.
        prefix: name of the set; None for the ``set`` in the samples' meta information, or no name where there is none.
        collect_device: where results of several processes meet, ``cpu`` or ``gpu``.

    Raises:
        ValueError: ``convert_to`` is not known, or ``crop_border`` is negative.
    """

    default_prefix = ""  # none, and mmengine does not warn of it

    def __init__(
        self,
        crop_border: int | None = None,
        convert_to: Literal["Y"] | None = "Y",
        per_image: bool = False,
        prefix: str | None = None,
        collect_device: str = "cpu",
    ):
        super().__init__(collect_device=collect_device)  # the prefix is put in by compute_metrics
        if convert_to not in ("Y", None):
            raise ValueError(f"convert_to={convert_to!r} is not known: 'Y' for the luma, None for the RGB channels")
        if crop_border is not None and crop_border < 0:
            raise ValueError(f"crop_border={crop_border} is negative")
        self.crop_border = crop_border
        self.convert_to = convert_to
        self.per_image = per_image
        self.set_name = prefix

    def process(self, data_batch: Mapping[str, Any], data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Measure a batch.

        Args:
            data_batch: ``inputs``, the low-resolution images (C, h, w), in 8-bit levels or in [0, 1].
            data_samples: the model's ``predict`` output with ``output.pred_img`` and ``gt_img`` (C, H, W), as those.

        Raises:
            ValueError: an image and its ground truth do not fit together; the message names the image.
        """
        for low, sample in zip(data_batch["inputs"], data_samples, strict=True):
            name = str(sample.get("key") or sample.get("gt_path") or f"image {len(self.results) + 1}")
            try:
                values = self._measure(low, sample["output"]["pred_img"], sample["gt_img"])
            except ValueError as fault:
                raise ValueError(f"{name}: {fault}") from fault
            own = {"name": name, "set": self.set_name or sample.get("set") or "", "source": sample.get("lr_source", "")}
            self.results.append(own | values)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return the means of each set and log them.

        Raises:
            ValueError: no image was evaluated.
        """
        if not results:
            raise ValueError("no image was evaluated: the data set is empty")
        metrics: dict[str, float] = {}
        for name in dict.fromkeys(result["set"] for result in results):
            of_set = [result for result in results if result["set"] == name]
            head = f"{name}/" if name else ""
            for measure in MEASURES:
                metrics[head + measure] = fmean(result[measure] for result in of_set)
                metrics[f"baseline_{head}{measure}"] = fmean(result[f"baseline_{measure}"] for result in of_set)
            metrics[f"{head}images"] = len(of_set)
        MMLogger.get_current_instance().info("\n" + table(results, self.per_image))
        return metrics

    def _measure(self, low: Tensor, restored: Tensor, truth: Tensor) -> dict[str, float]:
        """Return both measures of one image and of its baseline."""
        restored, truth = levels(restored), levels(truth).to(restored.device)
        low = low.to(restored.device)
        scale = scale_between(low, truth)
        border = scale if self.crop_border is None else self.crop_border
        baseline = upscale_bicubic(low / 255 if low.dtype == truth.dtype else low, scale)
        values: dict[str, float] = {"scale": scale}
        for head, image in (("", restored), ("baseline_", baseline)):
            for name, measure in MEASURES.items():
                values[head + name] = measure(image, truth, border, self.convert_to)
        return values


def levels(image: Tensor) -> Tensor:
    """Return an image in 8-bit levels: as it is, or made from [0, 1]."""
    return image if not image.is_floating_point() else to_uint8(image)


def table(results: Sequence[Mapping[str, Any]], per_image: bool = False) -> str:
    """Return the means of each set, ours and the baseline's, as aligned lines of text.

    Args:
        results: one mapping for each image: ``name``, ``set``, ``source``, ``scale``, ``psnr``, ``ssim``,
            ``baseline_psnr`` and ``baseline_ssim``.
        per_image: a line for each image too.
    """
    rows = [("set", "images", "scale", "bicubic", "restored", "gain (dB)", "low resolution")]
    for name in dict.fromkeys(result["set"] for result in results):
        of_set = [result for result in results if result["set"] == name]
        if per_image:
            rows += [_row(result["name"], [result]) for result in of_set]
        rows.append(_row(name or "all", of_set))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _row(name: str, results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    means = {key: fmean(result[key] for result in results) for key in (*MEASURES, *(f"baseline_{m}" for m in MEASURES))}
    scales = sorted({f"x{result['scale']}" for result in results})
    sources = sorted({str(result["source"]) for result in results} - {""})
    return (
        name,
        str(len(results)),
        "/".join(scales),
        f"{means['baseline_psnr']:.4f}/{means['baseline_ssim']:.4f}",
        f"{means['psnr']:.4f}/{means['ssim']:.4f}",
        f"{means['psnr'] - means['baseline_psnr']:+.2f}",
        ", ".join(sources),
    )
