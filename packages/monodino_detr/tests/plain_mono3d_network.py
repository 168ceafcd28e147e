"""Depth predictor, encoder, decoder and heads as they are described, with our weights: the benchmark's other side.

As officially, tables of positions, references and masks are made for every batch; deformable attention projects the
whole memory in every layer and samples one level after the other by ``grid_sample``; box branches run in the decoder
and again behind it; all heads run at all layers, in evaluation, too (JihyeokKim/MonoDINO-DETR @ 65004cc, whose
deformable attention is a CUDA operator: on the CPU it is Deformable DETR's own PyTorch version). Left out is the
projection of values that is computed and thrown away.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Predicted = dict[str, Tensor]
EPS = 1e-5


def plain_detector(model: nn.Module, maps: list[Tensor], relative: Tensor, cameras: tuple[Tensor, Tensor]) -> Predicted:
    """All predictions of a ``MonoDINODETR`` with boxes for queries, from the fused maps and the relative depth.

    Returns:
        ``logits``, ``boxes``, ``dims``, ``depths`` and ``angles`` of all layers ``(L, B, N, ...)``,
        ``depth_map_logits`` ``(B, bins + 1, h, w)`` and ``weighted_depth`` ``(B, h, w)``.
    """
    masks = [torch.zeros(len(one), *one.shape[-2:], dtype=torch.bool) for one in maps]
    positions = [plain_sine(mask, one.shape[1] // 2) for mask, one in zip(masks, maps, strict=True)]
    logits, weighted, depth_tokens = plain_predictor(model.depth_predictor, relative, positions[-1])
    memory, shapes, valid, padding = plain_encoder(model.encoder, maps, positions, masks)
    queries, head = model.queries, model.bbox_head
    rows = slice(None if model.training else queries.num_queries)
    groups = model.group_num if model.training else 1
    query = queries.tgt_embed.weight[rows].expand(len(memory), -1, -1)
    reference = queries.refpoint_embed.weight[rows].sigmoid().expand(len(memory), -1, -1)
    states, befores = [], []
    for index, layer in enumerate(model.decoder.layers):
        around = reference[:, :, None] * torch.cat([valid, valid, valid], -1)[:, None]
        position = model.decoder.ref_point_head(plain_encoding(around[:, :, 0], query.shape[-1] // 2))
        if index:
            position = position * model.decoder.query_scale(query)
        query = plain_decoder_layer(layer, query, position, around, memory, padding, shapes, depth_tokens, groups)
        states.append(query)
        befores.append(reference)
        reference = (head.reg_branches[index](query) + plain_logit(reference)).sigmoid().detach()
    found: dict[str, list[Tensor]] = {name: [] for name in ("logits", "boxes", "dims", "depths", "angles")}
    for index, (state, before) in enumerate(zip(states, befores, strict=True)):
        boxes = (head.reg_branches[index](state) + plain_logit(before)).sigmoid()
        dims = head.dim_branches[index](state)
        found["logits"].append(head.cls_branches[index](state))
        found["boxes"].append(boxes)
        found["dims"].append(dims)
        found["depths"].append(plain_depths(head.depth_branches[index](state), boxes, dims, weighted, *cameras))
        found["angles"].append(head.angle_branches[index](state))
    stacked = {name: torch.stack(values) for name, values in found.items()}
    return stacked | {"depth_map_logits": logits, "weighted_depth": weighted}


def plain_logit(x: Tensor) -> Tensor:
    """The inverse of a sigmoid."""
    x = x.clamp(0, 1)
    return (x.clamp(min=EPS) / (1 - x).clamp(min=EPS)).log()


def plain_sine(mask: Tensor, channels: int) -> Tensor:
    """The sine embedding of the places of maps ``(B, h, w)``, ``(B, 2 channels, h, w)``."""
    steps = 10000 ** (2 * (torch.arange(channels) // 2) / channels)
    coded = []
    for dim in (1, 2):
        places = (~mask).cumsum(dim, dtype=torch.float32)
        places = places / (places.narrow(dim, mask.shape[dim] - 1, 1) + 1e-6) * 2 * math.pi
        angles = places[..., None] / steps
        coded.append(torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], -1).flatten(3))
    return torch.cat(coded, 3).permute(0, 3, 1, 2)


def plain_encoding(boxes: Tensor, channels: int) -> Tensor:
    """Sines and cosines of boxes, cy first."""
    steps = 10000 ** (2 * (torch.arange(channels) // 2) / channels)
    coded = []
    for place in (1, 0, 2, 3, 4, 5):
        angles = boxes[..., place, None] * 2 * math.pi / steps
        coded.append(torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], -1).flatten(-2))
    return torch.cat(coded, -1)


# ----------------------------------------------------------------------------------------------------------------------
# Depth predictor


def plain_predictor(predictor: nn.Module, relative: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of depth bins, the expected depth, and the tokens ``(B, h w, C)``, from the depth of every pixel."""
    size = positions.shape[-2:]
    features = predictor.depth_input_proj(F.interpolate(relative, size, mode="bilinear", align_corners=False))
    features = predictor.depth_head(features)
    logits = predictor.depth_classifier(features)
    bins, near, far = predictor.num_depth_bins, predictor.depth_min, predictor.depth_max
    growth = 2 * (far - near) / (bins * (bins + 1))
    values = (torch.arange(bins) + 0.5) ** 2 * growth / 2 - growth / 8 + near
    values = torch.cat([values, torch.tensor([far])])
    weighted = (logits.softmax(1) * values[:, None, None]).sum(1)

    layer = predictor.depth_encoder
    x, position = features.flatten(2).transpose(1, 2), positions.flatten(2).transpose(1, 2)
    attended, _ = layer.self_attn(x + position, x + position, x)
    x = layer.norm1(x + layer.dropout(attended))
    x = layer.norm2(layer.ffn(x))
    depths = weighted.clamp(0, far)
    lower = depths.floor()
    fraction = (depths - lower)[..., None]
    lower = lower.long()
    upper = (lower + 1).clamp(max=predictor.depth_pos_embed.num_embeddings - 1)
    coded = predictor.depth_pos_embed(lower) * (1 - fraction) + predictor.depth_pos_embed(upper) * fraction
    return logits, weighted, x + coded.flatten(1, 2)


# ----------------------------------------------------------------------------------------------------------------------
# Encoder and decoder


def plain_encoder(
    encoder: nn.Module, maps: list[Tensor], positions: list[Tensor], masks: list[Tensor]
) -> tuple[Tensor, list[tuple[int, int]], Tensor, Tensor]:
    """The memory of a ``VisualEncoder``, sizes of its levels, and valid ratios and padding, of which there is none."""
    shapes = [tuple(one.shape[-2:]) for one in maps]
    x = torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1)
    padding = torch.cat([mask.flatten(1) for mask in masks], 1)
    coded = [one.flatten(2).transpose(1, 2) + level for one, level in zip(positions, encoder.level_embed, strict=True)]
    position = torch.cat(coded, 1)
    valid = torch.stack(
        [torch.stack([(~one[:, 0]).float().mean(1), (~one[:, :, 0]).float().mean(1)], -1) for one in masks], 1
    )
    centres = []
    for level, (height, width) in enumerate(shapes):
        y, x_ = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        ratio = valid[:, None, level]
        centres.append(
            torch.stack([x_.flatten() / (ratio[..., 0] * width), y.flatten() / (ratio[..., 1] * height)], -1)
        )
    reference = torch.cat(centres, 1)[:, :, None] * valid[:, None]
    for layer in encoder.layers:
        sampled = plain_deformable(layer.self_attn, x + position, x, padding, shapes, reference)
        x = layer.norms[0](x + layer.self_attn.dropout(sampled))
        x = layer.norms[1](layer.ffn(x))
    return x, shapes, valid, padding


def plain_decoder_layer(
    layer: nn.Module,
    query: Tensor,
    position: Tensor,
    around: Tensor,
    memory: Tensor,
    padding: Tensor,
    shapes: list[tuple[int, int]],
    depth_tokens: Tensor,
    groups: int,
) -> Tensor:
    """A layer of the decoder; ``around`` are boxes (cx, cy, l, r, t, b), ``(B, N, levels, 6)``."""
    attended, _ = layer.cross_attn_depth(query, depth_tokens, depth_tokens)
    query = layer.norm_depth(query + layer.dropout(attended))

    y, batch = query + position, len(query)
    q = layer.sa_qcontent_proj(y) + layer.sa_qpos_proj(y)
    k = layer.sa_kcontent_proj(y) + layer.sa_kpos_proj(y)
    parts = [torch.cat(one.chunk(groups, 1)) for one in (q, k, query)]
    attended, _ = layer.self_attn(*parts)
    query = layer.norm2(query + layer.dropout(torch.cat(attended.split(batch), 1)))

    sampled = plain_deformable(layer.cross_attn, query + position, memory, padding, shapes, around)
    query = layer.norm1(query + layer.cross_attn.dropout(sampled))
    return layer.norm3(layer.ffn(query))


def plain_deformable(
    attn: nn.Module, query: Tensor, memory: Tensor, padding: Tensor, shapes: list[tuple[int, int]], reference: Tensor
) -> Tensor:
    """Deformable attention around points ``(B, N, levels, 2)`` or in boxes ``(B, N, levels, 6)``."""
    batch, count, channels = query.shape
    heads, levels, points = attn.num_heads, attn.num_levels, attn.num_points
    value = attn.value_proj(memory).masked_fill(padding[..., None], 0.0).view(batch, -1, heads, channels // heads)
    offsets = attn.sampling_offsets(query).view(batch, count, heads, levels, points, 2)
    weights = attn.attention_weights(query).view(batch, count, heads, levels * points).softmax(-1)
    boxes = reference[:, :, None, :, None]
    if boxes.shape[-1] == 2:
        places = boxes + offsets / torch.tensor(shapes).flip(-1)[:, None]
    else:
        places = boxes[..., :2] + offsets / points * (boxes[..., 2::2] + boxes[..., 3::2]) * 0.5
    grid, found = 2 * places - 1, []
    for level, (part, size) in enumerate(zip(value.split([h * w for h, w in shapes], 1), shapes, strict=True)):
        one = part.flatten(2).transpose(1, 2).reshape(batch * heads, channels // heads, *size)
        at = grid[:, :, :, level].transpose(1, 2).flatten(0, 1)
        found.append(F.grid_sample(one, at, mode="bilinear", padding_mode="zeros", align_corners=False))
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, count, levels * points)
    output = (torch.stack(found, -2).flatten(-2) * weights).sum(-1).view(batch, channels, count)
    return attn.output_proj(output.transpose(1, 2).contiguous())


def plain_depths(
    regressed: Tensor, boxes: Tensor, dims: Tensor, weighted: Tensor, projections: Tensor, sizes: Tensor
) -> Tensor:
    """The mean of three depths and the logarithm of the variance, ``(B, N, 2)``."""
    direct = 1 / (regressed[..., 0].sigmoid() + 1e-6) - 1
    pixels = ((boxes[..., 4] + boxes[..., 5]) * sizes[:, 1:]).clamp(min=1.0)
    pinhole = dims[..., 0] / pixels * projections[:, 0, :1]
    places = (boxes[..., :2].detach() * 2 - 1)[:, :, None]
    of_map = F.grid_sample(weighted[:, None], places, mode="bilinear", align_corners=True)[:, 0, :, 0]
    return torch.stack([(direct + pinhole + of_map) / 3, regressed[..., 1]], -1)
