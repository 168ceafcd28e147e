"""The quickstart's config and drawings (``mmrepro quickstart itransformer``)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from mmengine.config import Config
from mmengine.registry import DATASETS

from mm_itransformer.inferencer import ITransformerInferencer
from mm_itransformer.visualization import draw_attention, draw_forecast

CONFIG = "itransformer_e2-d64_1xb32-5e_lorenz96-96to24"


def draw(config: str | Path, checkpoint: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw a forecast of the test split's last window with its truth, and the attention between the variates.

    Args:
        config: the config that was trained.
        checkpoint: its best weights.
        out_dir: folder of the drawings.

    Returns:
        The PNG files.
    """
    config = Config.fromfile(config)
    test = DATASETS.build(config.test_dataloader.dataset)
    table = pd.DataFrame(test.values.double().numpy() * test.std + test.mean, test.dates, list(test.columns))
    inferencer = ITransformerInferencer(config, checkpoint, device="cpu")
    forecast = inferencer(table, start=-test.pred_len)["predictions"][0]
    out_dir = Path(out_dir)
    return [draw_forecast(forecast, out_dir / "forecast.png"), draw_attention(forecast, out_dir / "attention.png")]
