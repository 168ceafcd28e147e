"""The quickstart's config and its drawings (``mmrepro quickstart meta_transformer``)."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mm_meta_transformer.inferencer import MetaTransformerInferencer
from mm_meta_transformer.visualization import draw_prediction
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.reproduction.plots import loss_curves

CONFIG = "smoke_image"
NOTE = (
    "A small Meta-Transformer, an encoder of 192 channels and four blocks from random weights, trained for a minute on "
    "1,437 of scikit-learn's scanned digits of 8 x 8 pixels and tested on the 360 others. The paper's encoder has 768 "
    "channels and twelve blocks, and begins with weights of a training on millions of pictures with texts."
)
DRAWN = 3  # digits


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw digits of the test set with tokens, attention and prediction, and the losses.

    Args:
        config: the config that was trained.
        checkpoint: its weights, in the folder of the training.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config, out_dir = Config.fromfile(config), Path(out_dir)
    inferencer = MetaTransformerInferencer(config, checkpoint, device="cpu")
    with DefaultScope.overwrite_default_scope(inferencer.scope):
        dataset = DATASETS.build(config.test_dataloader.dataset)
    digits = [dataset.get_data_info(number) for number in range(DRAWN)]
    found = inferencer([one["img"] for one in digits], with_tokens=True, with_attention=True)["predictions"]
    files = [
        draw_prediction(prediction, out_dir / f"digit_{number}.png", inferencer.classes[one["gt_label"]])
        for number, (one, prediction) in enumerate(zip(digits, found, strict=True), 1)
    ]
    logs = [("this run", sorted(Path(checkpoint).parent.glob("*/vis_data/scalars.json")))]
    if curves := loss_curves(logs, config.smoke.metric):
        files.append(out_dir / "convergence.png")
        write_atomically(curves, files[-1])
    return files
