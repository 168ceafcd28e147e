"""The stored cases of the network: detectors in both modes, one layer of the decoder, and tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mm_monodino_detr.checkpoint import from_official, infer_config, to_official
from mm_monodino_detr.models.decoded_queries import collect_cameras
from mm_monodino_detr.models.decoding import best_pairs
from mm_monodino_detr.models.depth_aware_decoder import DepthAwareDecoderLayer, encode_boxes
from mm_monodino_detr.models.depth_bins import depth_bin_targets, depth_bin_values
from mm_monodino_detr.models.group_matching import collect_targets
from mm_monodino_detr.models.heading_bins import decode_heading, encode_heading
from mm_monodino_detr.models.level_tables import level_tables
from mm_monodino_detr.models.monodino_detr import MonoDINODETR, fit_to_patches
from mm_monodino_detr.models.predictions import Predictions
from mm_monodino_detr.models.visual_encoder import Memory
from mmrepro.testing import SplitAdapter

LOSSES = SplitAdapter(Path(__file__).resolve().parent, {}).part("parity_losses")
tensors = LOSSES.tensors

PUBLISHED_SIZE = 518
TOP = 50  # candidates of an image
COEFFICIENTS = {
    "loss_ce": "cls_loss_coef",
    "loss_bbox": "bbox_loss_coef",
    "loss_giou": "giou_loss_coef",
    "loss_center": "3dcenter_loss_coef",
    "loss_depth": "depth_loss_coef",
    "loss_dim": "dim_loss_coef",
    "loss_angle": "angle_loss_coef",
    "loss_depth_map": "depth_map_loss_coef",
}
THEIR_PREDICTIONS = {ours: f"pred_{theirs}" for ours, theirs in LOSSES.FIELDS.items()}
LAYER_KEYS = {"linear1.": "ffn.layers.0.0.", "linear2.": "ffn.layers.1."}


def model_eval(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a detector on a batch: what each of its parts computes, its predictions, and the best candidates."""
    model = detector(manifest, state).eval()
    images, samples = batch(inputs)
    with torch.inference_mode(), recorded(model) as found:
        features = model.extract_feat(images)
        decoded = model.decode(features)
        predictions = model.bbox_head(decoded, collect_cameras([one.metainfo for one in samples], images))
        grid = features.relative_depth.shape[-2:]
        tokens = [found[f"vit_tokens_{level}"] for level in range(len(model.backbone.out_indices))]
        found["relative_depth"] = model.depth_head(tokens, tuple(grid))
        positions = model.depth_predictor.embed(predictions.weighted_depth)
    found["net_input"] = fit_to_patches(images, model.target_size)
    for level, (one, position) in enumerate(zip(features.maps, features.levels.positions, strict=True)):
        found |= {f"src_{level}": one, f"pos_{level}": position}
    found |= {
        "depth_map_logits": predictions.depth_map_logits,
        "weighted_depth": predictions.weighted_depth,
        "depth_embed": decoded.depth.tokens.transpose(1, 2).unflatten(2, grid),
        "depth_pos_embed_ip": positions.permute(0, 3, 1, 2),
        "hs": decoded.hidden,
        "inter_references": decoded.boxes,
        "inter_dims": predictions.dims,
        "detections_by_index": candidates(predictions),
    }
    for ours, theirs in THEIR_PREDICTIONS.items():
        *others, last = getattr(predictions, ours)
        found |= {theirs: last, **{f"aux{layer}_{theirs}": one for layer, one in enumerate(others)}}
    return arrays(found)


def model_train(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a detector with its losses in training mode without dropout, and what they say of its weights."""
    model = detector(manifest, state, dropout=0.0).train()
    weights = loss_weights(manifest["config"]["model"])
    images, samples = batch(inputs)
    losses = model.loss(images, samples)
    LOSSES.total(losses, weights).backward()
    with torch.no_grad():
        cameras = collect_cameras([one.metainfo for one in samples], images)
        predictions = model.bbox_head(model.decode(model.extract_feat(images)), cameras)
    of_theirs = to_official(
        {name: one.grad for name, one in model.named_parameters() if one.grad is not None}, unused=False
    )
    trained = [name for name in manifest["state_dict"] if not name.startswith("backbone.")]
    criterion, targets = model.bbox_head.criterion, collect_targets([one.gt_instances for one in samples])
    pairs = criterion.assigner.match(predictions, targets, criterion.groups)
    return {
        **LOSSES.unweighted(losses, weights),
        "grad_norms": np.array([of_theirs[name].norm().item() for name in manifest["given"]["grad_parameters"]]),
        "trainable_without_gradient": [name for name in trained if name not in of_theirs],
        **LOSSES.matches(pairs, targets),
        **arrays({theirs: getattr(predictions, ours)[-1] for ours, theirs in THEIR_PREDICTIONS.items()}),
    }


def decoder_layer(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run one layer of the decoder on random queries, with groups in training mode."""
    config, weights, given = manifest["config"], tensors(state), tensors(inputs)
    layer = DepthAwareDecoderLayer(
        embed_dims=config["d_model"],
        num_heads=config["n_heads"],
        num_levels=config["n_levels"],
        num_points=config["n_points"],
        feedforward_channels=config["d_ffn"],
        dropout=config["dropout"],
    ).train(config["training"])
    for theirs, ours in LAYER_KEYS.items():
        weights = {name.replace(theirs, ours): one for name, one in weights.items()}
    layer.load_state_dict({name: one for name, one in weights.items() if not name.startswith("sa_v_proj.")})
    shapes = torch.tensor(config["spatial_shapes"])
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    with torch.no_grad():
        output = layer(
            given["tgt"],
            given["query_pos"],
            given["reference"],
            Memory(given["memory"], shapes, starts),
            given["depth_embed"].transpose(0, 1),
            config["group_num"] if config["training"] else 1,
        )
    return {"output": output.numpy()}


def tables(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute bins of headings and depths, and the sines of places and boxes."""
    bins, residuals = encode_heading(inputs["angle"])
    side = PUBLISHED_SIZE // 14
    return {
        "heading_class": bins,
        "heading_residual": residuals,
        "angle_back": decode_heading(bins, residuals),
        "depth_bin_values": depth_bin_values().numpy(),
        "depth_bin": depth_bin_targets(torch.from_numpy(inputs["depth"])).numpy(),
        "sine_pos": level_tables([torch.empty(1, 256, side, side)], 256).positions[0].numpy(),
        "query_sine": encode_boxes(torch.from_numpy(inputs["reference"])).numpy(),
    }


def loss_weights(config: dict) -> dict[str, float]:
    """Return the weights of the losses that the configuration of an official model has, by their official names."""
    return {theirs: config[name] for theirs, name in COEFFICIENTS.items() if name in config}


def detector(manifest: dict, state: dict[str, np.ndarray], dropout: float | None = None) -> MonoDINODETR:
    """Build the detector of official weights, without drawing any before.

    Args:
        manifest, state: of the case.
        dropout: instead of the published one.
    """
    official, config, theirs = tensors(state), manifest["config"], manifest["config"]["model"]
    settings = infer_config(official)["model"]
    # What follows shows in no weight, but for the queries of all groups together. The depth predictor's heads do not
    # follow nheads: they are 8.
    rows = settings["num_queries"] * settings["group_num"]
    settings |= {
        "target_size": config.get("target_size", PUBLISHED_SIZE),
        "num_queries": theirs["num_queries"],
        "group_num": rows // theirs["num_queries"],
    }
    settings["depth_predictor"] |= {name: float(theirs[name]) for name in ("depth_min", "depth_max")}
    for part, points in {"encoder": "enc_n_points", "decoder": "dec_n_points"}.items():
        settings[part] |= {"num_heads": theirs["nheads"], "num_points": theirs[points]}
    costs = {name: theirs[f"set_{name}"] for name in LOSSES.COSTS}
    settings["bbox_head"]["criterion"] = LOSSES.criterion_settings(loss_weights(theirs), costs, theirs["focal_alpha"])
    if dropout is not None:
        for part in ("encoder", "decoder", "depth_predictor"):
            settings[part]["dropout"] = dropout
    with torch.device("meta"):
        model = MODELS.build(settings)
    model.load_state_dict(from_official(official, model), assign=True)
    return model


def candidates(predictions: Predictions) -> Tensor:
    """Return the best pairs of a query and a class in the order of their indices, and not of their scores.

    Returns:
        Label, score, 2D box (cx, cy, w, h), depth, 24 numbers of the heading, size, centre and certainty of each,
        ``(B, K, 37)``.
    """
    rows = LOSSES.detection_rows(best_pairs(predictions, TOP))
    order = predictions.logits[-1].sigmoid().flatten(1).topk(TOP).indices.argsort(1)
    return rows.gather(1, order[..., None].expand_as(rows))


@contextmanager
def recorded(model: MonoDINODETR) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that fills with what ViT and encoder compute, by the names of a case."""
    found: dict[str, Tensor] = {}

    def keep_tokens(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        level = sum(name.startswith("vit_cls_") for name in found)  # the norm is called once for each
        found.update({f"vit_cls_{level}": output[:, 0], f"vit_tokens_{level}": output[:, 1:]})

    def keep_layer(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        found["encoder_layer0"] = output

    def keep_memory(_module: nn.Module, _inputs: tuple, output: Memory) -> None:
        found["memory"] = output.tokens

    hooks = [
        model.backbone.norm.register_forward_hook(keep_tokens),
        model.encoder.layers[0].register_forward_hook(keep_layer),
        model.encoder.register_forward_hook(keep_memory),
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def batch(inputs: dict[str, np.ndarray]) -> tuple[Tensor, list[DetDataSample]]:
    """Return images, and samples with their cameras and, where there are some, objects."""
    samples = []
    for calibration, (width, height) in zip(inputs["calibs"], inputs["img_sizes"].tolist(), strict=True):
        samples.append(DetDataSample(metainfo=dict(cam2img=calibration.tolist(), ori_shape=(height, width))))
    if "gt_counts" in inputs:
        given = tensors({name: one for name, one in inputs.items() if name.startswith("gt_")})
        for sample, instances in zip(samples, LOSSES.objects(given), strict=True):
            sample.gt_instances = instances
    return torch.from_numpy(inputs["image"].copy()), samples


def arrays(found: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as arrays."""
    return {name: one.detach().numpy() for name, one in found.items()}
