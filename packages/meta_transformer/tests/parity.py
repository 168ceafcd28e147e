"""The parity adapter: what the official code computed in a case, computed by this package.

Each kind of case is served by a function of its own name in the file beside this one that has its subject.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.registry import DefaultScope

import mm_meta_transformer  # noqa: F401  registers everything
from mmrepro.testing import SplitAdapter

KINDS = {
    "parity_vision": (
        "encoder_base_forward",
        "encoder_large_forward",
        "data2seq_image",
        "data2seq_video",
        "video_vit_forward",
        "xray_vit_forward",
    ),
    "parity_dense": ("image_segmentation_vit_adapter", "image_detection_vit_adapter"),
    "parity_audio": ("audio_fbank", "audio_ast_forward", "data2seq_audio"),
    "parity_series": (
        "data2seq_time_series",
        "data2seq_time_series_marks",
        "timeseries_forecast",
        "timeseries_metric",
        "timeseries_pipeline",
    ),
    "parity_rows": ("tabular_forward", "hyper_forward", "hyper_pipeline", "data2seq_hyper"),
    "parity_graph": ("graph_tokengt_forward", "graph_collate", "data2seq_graph", "data2seq_text_zero_padding"),
    "parity_points": (
        "pointcloud_modelnet40_forward",
        "pointcloud_scanobjectnn_forward",
        "pointcloud_s3dis_forward",
        "pointcloud_shapenetpart_forward",
        "pointcloud_transforms",
    ),
    "parity_losses_of_all": ("losses",),
}

_ADAPTER = SplitAdapter(Path(__file__).resolve().parent, KINDS)


def run(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute what ``manifest["kind"]`` computes, by the case's names.

    Raises:
        ValueError: this package does not serve the case's kind.
    """
    with DefaultScope.overwrite_default_scope("mmpretrain"):  # parts are built by their names there
        return _ADAPTER.run(manifest, state, inputs)
