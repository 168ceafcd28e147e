"""The parity cases of point clouds: our models with the official weights, and the steps before them."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoints import point_cloud
from mm_meta_transformer.datasets.point_transforms import CentrePoints, PointHeights
from mm_meta_transformer.models.point_ops import farthest_points, nearest_points, rows_of


def _model(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    weights = {key: torch.from_numpy(value) for key, value in state.items()}
    settings = _settings(manifest["config"], weights)
    with torch.device("meta"):
        model = MODELS.build(settings)
    counters = {key for key in model.state_dict() if key.endswith("num_batches_tracked")}
    own = point_cloud.rules(weights).forward(weights)
    model.load_state_dict(own | dict.fromkeys(counters, torch.tensor(0)), assign=True)
    model.eval()
    given = {"points": torch.from_numpy(inputs["pos"])}
    if "x" in inputs:
        given["features"] = torch.from_numpy(inputs["x"]).transpose(1, 2)
    if "cls" in inputs:
        given["category"] = torch.from_numpy(inputs["cls"])[:, 0]
    with torch.no_grad():
        tokens = model.extract_tokens(given)
        return {
            "center": tokens.info["centres"].numpy(),
            "patch_tokens": tokens.tokens[:, 1:].numpy(),
            "encoded": model.encode(tokens).numpy(),
            "logits": model(given).numpy(),
        }


def _settings(config: dict, weights: dict[str, torch.Tensor]) -> dict:
    """Return the model's config; what shows in no weight is the case's."""
    settings = point_cloud.infer_config(weights) | dict(official_compat=True)
    encoder, head = config["encoder_args"], config["cls_args"]
    settings["encoder_norm"] = encoder["norm_args"]["eps"]
    settings["encoder"]["num_heads"] = encoder["num_heads"]
    embed, tokenizer = encoder["embed_args"], settings["tokenizer"]
    tokenizer["group_size"] = embed["group_size"]
    if tokenizer["type"] == "PointPatchTokenizer":
        tokenizer["sample_ratio"] = embed["sample_ratio"]
    if "decoder" not in settings:
        settings["global_features"] = encoder["global_feat"].split(",")
        return settings
    settings["decoder"]["global_features"] = config["decoder_args"]["global_feat"].split(",")
    settings["head"]["append"] = head["global_feat"].split(",") if head.get("global_feat") else ()
    return settings


pointcloud_modelnet40_forward = _model
pointcloud_scanobjectnn_forward = _model
pointcloud_s3dis_forward = _model
pointcloud_shapenetpart_forward = _model


def pointcloud_transforms(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    cloud = torch.from_numpy(inputs["cloud"])
    chosen = farthest_points(cloud, 16)
    _, nearest = nearest_points(cloud, rows_of(cloud, chosen), 8)
    points = partial(dict, points=inputs["pos"])
    heights = {f"heights_g{axis}": PointHeights(axis=axis)(points())["heights"] for axis in range(3)}
    return heights | {
        "center_norm": CentrePoints(normalise=True)(points())["points"],
        "center_only": CentrePoints()(points())["points"],
        "xyz_align": CentrePoints(floor=2)(points())["points"],
        "fps_index_16": chosen[0].numpy(),
        "knn8_sorted": nearest[0].sort(-1).values.numpy(),
    }
