"""The parity cases of point clouds: our models with the official weights, and the steps before them."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoints import point_cloud
from mm_meta_transformer.datasets.point_transforms import CentrePoints, PointHeights
from mm_meta_transformer.models.point_ops import farthest_points, nearest_points, rows_of

_ONE_WAY = dict(
    reduction="max",
    normalize_dp=False,
    relative_xyz=True,
    subsample="fps",
    group="knn",
    layers=4,
    conv_args=dict(order="conv-norm-act"),
)


def _model(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    weights = {key: torch.from_numpy(value) for key, value in state.items()}
    settings = _settings(manifest["config"], weights)
    with torch.device("meta"):
        model = MODELS.build(settings)
    model.load_state_dict(point_cloud.rules(weights).forward(weights), assign=True)
    model.eval()
    given = {"points": torch.from_numpy(inputs["pos"])}
    if "x" in inputs:
        given["features"] = torch.from_numpy(inputs["x"]).transpose(1, 2)
    if "cls" in inputs:
        given["category"] = torch.from_numpy(inputs["cls"])[:, 0]
    with torch.no_grad():
        _, centres, groups = model.tokenizer.embed(given["points"], given.get("features", given["points"]))
        return {
            "center": centres.numpy(),
            "patch_tokens": groups.numpy(),  # tokens may have their positions in them
            "encoded": model.encode(model.extract_tokens(given)).numpy(),
            "logits": model(given).numpy(),
        }


def _settings(config: dict, weights: dict[str, torch.Tensor]) -> dict:
    """Return the model's config; what shows in no weight is the case's.

    Raises:
        ValueError: an option has a value for which no published config has a network.
    """
    encoder, head, decoder = config["encoder_args"], config["cls_args"], config.get("decoder_args", {})
    embed = encoder["embed_args"]
    _refuse_others("encoder_args", encoder, act_args=dict(act="gelu"), distill=False)
    _refuse_others("encoder_args.embed_args", dict(group="ballquery") | embed, **_ONE_WAY, act_args=dict(act="relu"))
    _refuse_others("decoder_args", decoder, act_args=dict(act="gelu"), progressive_input=True)
    _refuse_others("cls_args", head, act_args=dict(act="relu"))
    for where, norm in (("encoder_args.embed_args", embed.get("norm_args")), ("cls_args", head.get("norm_args"))):
        if isinstance(norm, dict) and norm["norm"] not in ("ln1d", "ln2d"):  # which take no epsilon
            _refuse_others(f"{where}.norm_args", norm, eps=1e-5)
    settings = point_cloud.infer_config(weights) | dict(official_compat=True, encoder_norm=_epsilon(encoder))
    settings["encoder"]["num_heads"] = encoder["num_heads"]
    tokenizer = settings["tokenizer"]
    tokenizer["group_size"] = embed["group_size"]
    tokenizer["add_pos_each_block"] = encoder.get("add_pos_each_block", True)
    if tokenizer["type"] == "PointPatchTokenizer":
        _refuse_others("encoder_args.embed_args", dict(feature_type="dp_df") | embed, feature_type="dp")
        tokenizer["sample_ratio"] = embed["sample_ratio"]
    else:
        tokenizer["feature_type"] = embed.get("feature_type", "dp_df")
    summaries = encoder.get("global_feat", "cls,max")
    if "decoder" not in settings:
        settings["global_features"] = summaries.split(",")
        return settings
    settings["decoder"]["global_features"] = decoder.get("global_feat", summaries).split(",")
    settings["head"]["append"] = head["global_feat"].split(",") if head.get("global_feat") else ()
    return settings


def _epsilon(encoder: dict) -> float:
    """Return the epsilon of the last norm: torch's own where the case names a norm without one."""
    norm = encoder.get("norm_args", {"eps": 1e-6})
    return norm.get("eps", 1e-5) if isinstance(norm, dict) else 1e-5


def _refuse_others(where: str, given: dict, **only: object) -> None:
    for name, value in only.items():
        found = given.get(name, value)
        if isinstance(value, dict) and isinstance(found, dict):
            found = {key: found.get(key, value[key]) for key in value}
        if found != value:
            raise ValueError(f"{where}.{name} is {found!r}; this package has {value!r} alone. Fix: leave the case out")


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
