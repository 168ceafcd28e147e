"""One page with samples of every modality, their tokens, attention and predictions; and all encodings in one plane."""

from __future__ import annotations

import base64
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mm_meta_transformer.inferencer import MODALITIES, MetaTransformerInferencer, small_config
from mm_meta_transformer.visualization import draw_encodings, draw_prediction
from mm_meta_transformer.visualization.curves import forecast_figure
from mmrepro.engine.errors import UserError
from mmrepro.figures import write_figure
from mmrepro.paper_config import read_config
from mmrepro.reproduction import report, runs

TEMPLATE = Path(__file__).with_name("gallery.html.j2")
PROFILE = Path("meta_transformer", "smoke")
"""Where ``mmrepro reproduce meta_transformer --profile smoke`` leaves its trainings, below its work directory."""
_SHOWN, _ENCODED = 2, 24


@dataclass
class Exhibit:
    """What the page shows of a modality.

    Attributes:
        modality: its name.
        config: the config's name.
        data: what the samples are.
        weights: where the weights come from, in words.
        pictures: PNG files.
        encodings: of samples, ``(S, C)``; None where there are none.
        fault: why there is nothing to show.
    """

    modality: str
    config: str
    data: str = ""
    weights: str = ""
    pictures: list[Path] = field(default_factory=list)
    encodings: np.ndarray | None = None
    fault: str = ""


def write_gallery(
    work_dir: str | Path,
    out: str | Path | None = None,
    modalities: Sequence[str] = MODALITIES,
    say: Callable[[Exhibit], None] = lambda exhibit: None,
) -> Path:
    """Write the page and return its file.

    Weights are the last checkpoints of the small trainings below the work directory, and random where there is none; a
    modality whose data is not here has no pictures, and the page says why.

    Args:
        work_dir: that of ``mmrepro reproduce meta_transformer --profile smoke``.
        out: the file, by default ``<work_dir>/meta_transformer/gallery.html``.
        modalities: which.
        say: called with each modality as soon as it is drawn.

    Raises:
        UserError: a modality is unknown.
    """
    if unknown := [name for name in modalities if name not in MODALITIES]:
        raise UserError(f"{', '.join(unknown)} is no modality. They are {', '.join(MODALITIES)}")
    out = Path(out or Path(work_dir, "meta_transformer", "gallery.html"))
    with tempfile.TemporaryDirectory() as folder:
        exhibits = []
        for modality in modalities:
            file = small_config(modality)
            checkpoint = last_checkpoint(Path(work_dir) / PROFILE / file.stem)
            exhibits.append(
                exhibit(modality, read_config("meta_transformer", file), checkpoint, Path(folder, modality))
            )
            say(exhibits[-1])
        encoded = {one.modality: one.encodings for one in exhibits if one.encodings is not None}
        plane = draw_encodings(encoded, Path(folder, "encodings.png")) if len(encoded) > 1 else None
        page = report.render(
            TEMPLATE,
            title="Meta-Transformer: twelve modalities",
            plane=plane and _base64(plane),
            encoded=_ENCODED,
            exhibits=[_filled(one) for one in exhibits],
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def exhibit(
    modality: str, config: Config, checkpoint: Path | None, folder: Path, shown: int = _SHOWN, encoded: int = _ENCODED
) -> Exhibit:
    """Draw samples of a config's test data, and encode some.

    Args:
        modality: the config's.
        config: a small one.
        checkpoint: its weights; None for random ones.
        folder: of the drawings.
        shown: how many samples are drawn.
        encoded: how many are encoded.
    """
    one = Exhibit(modality, Path(config.filename or modality).stem)
    one.data = (config.get("smoke") or {}).get("data", "")
    one.weights = "random" if checkpoint is None else f"of a training here, {checkpoint.name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the page says that weights are random
            with DefaultScope.overwrite_default_scope(config.default_scope):
                dataset = DATASETS.build(config.test_dataloader.dataset)
            known = dataset.metainfo
            inferencer = MetaTransformerInferencer(
                config, checkpoint, "cpu", known.get("classes"), None if checkpoint else known
            )
    except (FileNotFoundError, UserError) as error:
        one.fault = str(error)
        return one
    numbers = np.unique(np.linspace(0, len(dataset) - 1, max(shown, encoded)).round().astype(int)).tolist()
    given = [inferencer.reader.example(dataset, number) for number in numbers]
    for place in np.linspace(0, len(given) - 1, min(shown, len(given))).round().astype(int):
        source, options = given[place]
        (prediction,) = inferencer([source], with_tokens=True, with_attention=True, **options)["predictions"]
        truth = _truth(dataset, numbers[place], inferencer.classes)
        one.pictures.append(draw_prediction(prediction, folder / f"{place}.png", truth))
    one.pictures += _further(inferencer, dataset, prediction, folder)
    options = given[0][1]
    one.encodings = inferencer.encodings([source for source, _ in given[:encoded]], **options)
    return one


def last_checkpoint(folder: Path) -> Path | None:
    """Return a training's last checkpoint, or None where there is none."""
    try:
        return runs.last_checkpoint(folder)
    except runs.RunFailedError:
        return None


def _further(inferencer: MetaTransformerInferencer, dataset: Any, prediction: Any, folder: Path) -> list[Path]:
    """Draw what a modality has besides: the land cover of a scene, all variates of a forecast."""
    if prediction.forecast is not None:
        return [write_figure(forecast_figure(prediction), folder / "forecast.png")]
    if "spectrum" in prediction.sample.raw:
        (scene,) = inferencer(dataset.ann_file)["predictions"]
        return [draw_prediction(scene, folder / "scene.png")]
    return []


def _truth(dataset: Any, number: int, classes: Sequence[str]) -> str | None:
    info = dataset.get_data_info(number) if hasattr(dataset, "get_data_info") else {}
    label = info.get("gt_label")
    return None if label is None else classes[int(label)]


def _filled(one: Exhibit) -> dict[str, Any]:
    return {
        "modality": one.modality,
        "config": one.config,
        "data": one.data,
        "weights": one.weights,
        "fault": one.fault,
        "pictures": [_base64(file) for file in one.pictures],
    }


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
