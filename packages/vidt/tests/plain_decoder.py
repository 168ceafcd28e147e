"""Neck, decoder and heads as they are described, with our weights: what tests and benchmarks compare ours with.

As officially, maps are enlarged before they are smoothed; self-attention also averages its weights over heads;
deformable attention samples one level after the other by ``grid_sample`` and stacks all samples; box branches run in
the decoder and again behind it; all heads run at all levels, in evaluation, too (naver-ai/vidt @ a8c48b5:
methods/vidt/detector.py, deformable_transformer.py, fpn_fusion.py; ops/functions/ms_deform_attn_func.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Predicted = dict[str, Tensor | list[Tensor]]


def plain_neck(neck: nn.Module, maps: list[Tensor]) -> list[Tensor]:
    """The fused maps of an ``EPFF``, coarsest first."""
    own = [getattr(neck, f"p_norm_{at}")(getattr(neck, f"layer_{at}_rn")(one)) for at, one in enumerate(maps)]
    fused: list[Tensor] = []
    for at in reversed(range(len(maps))):
        level, x = getattr(neck, f"refinenet_{at}"), own[at]
        if fused:
            larger = F.interpolate(fused[-1], x.shape[-2:], mode="bilinear", align_corners=True)
            x = level.smoothing(larger) + plain_bottleneck(level.resConfUnit1, x)
        fused.append(plain_bottleneck(level.resConfUnit2, x))
    return fused


def plain_bottleneck(unit: nn.Module, x: Tensor) -> Tensor:
    """A residual unit."""
    return unit.conv3(unit.conv2(unit.conv1(x.relu()).relu()).relu()) + x


def plain_detector(model: nn.Module, maps: list[Tensor], det: Tensor, padding_mask: Tensor) -> Predicted:
    """All predictions of a ``ViDT`` with all heads and box refinement, from the body's maps and [DET] tokens.

    Returns:
        ``logits``, ``boxes``, ``vectors`` and ``ious`` of all levels ``(L + 1, B, N, ...)``, and ``tokens``, logits of
        each level of the memory ``(B, h, w, channels)``.
    """
    head, levels = model.bbox_head, plain_neck(model.neck, maps)
    masks = [F.interpolate(padding_mask[None].float(), one.shape[-2:])[0].bool() for one in levels]
    hidden = model.tgt_proj(det.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
    pos = model.query_pos_proj(model.backbone.det_pos_embed.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
    pos = pos.expand(len(det), -1, -1)
    memory = torch.cat([one.flatten(2).transpose(1, 2) for one in levels], 1)
    padding, shapes = torch.cat([one.flatten(1) for one in masks], 1), [tuple(one.shape[-2:]) for one in levels]
    valid = torch.stack(
        [torch.stack([(~one[:, 0]).float().mean(1), (~one[:, :, 0]).float().mean(1)], -1) for one in masks], 1
    )
    tokens = plain_tokens(head, memory, padding, masks)

    start = model.reference_points_fc(pos).sigmoid()
    references = [plain_boxes(head.reg_branches[0](hidden), start).detach()]
    states = [hidden]
    for layer, branch in zip(model.decoder.layers, head.reg_branches[1:], strict=True):
        around = references[-1][:, :, None] * torch.cat([valid, valid], -1)[:, None]
        states.append(plain_layer(layer, states[-1], pos, memory, padding, shapes, around))
        references.append(plain_boxes(branch(states[-1]), references[-1]).detach())
    befores = [start, *references[:-1]]
    return {
        "logits": torch.stack([branch(one) for branch, one in zip(head.cls_branches, states, strict=True)]),
        "boxes": torch.stack(
            [plain_boxes(of(one), at) for of, one, at in zip(head.reg_branches, states, befores, strict=True)]
        ),
        "vectors": torch.stack([head.vector_branch(one) for one in states]),
        "ious": torch.stack([branch(one) for branch, one in zip(head.iou_branches, states, strict=True)]),
        "tokens": tokens,
    }


def plain_sizes(mask: Tensor) -> Tensor:
    """Width and height of what is not padding, ``(B, h, w)`` to ``(B, 2)``."""
    return torch.stack([(~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)], -1)


def plain_boxes(moves: Tensor, reference: Tensor) -> Tensor:
    """Boxes, moved from a reference of a box or of a point, whose size is the move alone."""
    inner = reference.clamp(0, 1)
    logits = (inner.clamp(min=1e-5) / (1 - inner).clamp(min=1e-5)).log()
    if reference.shape[-1] == 2:
        return torch.cat([moves[..., :2] + logits, moves[..., 2:]], -1).sigmoid()
    return (moves + logits).sigmoid()


def plain_tokens(head: nn.Module, memory: Tensor, padding: Tensor, masks: list[Tensor]) -> list[Tensor]:
    """The logits of the memory's tokens; those of the padding and whose proposal is not inside count as zero."""
    proposals = []
    for level, mask in enumerate(masks):
        sizes = torch.stack([(~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)], -1)[:, None, None]
        rows, columns = torch.meshgrid(
            *(torch.arange(side, device=mask.device) for side in mask.shape[1:]), indexing="ij"
        )
        centres = (torch.stack([columns, rows], -1) + 0.5) / sizes
        side = torch.full_like(centres, 0.05 * 2**level)
        proposals.append(torch.cat([centres, side], -1).flatten(1, 2))
    boxes = torch.cat(proposals, 1)
    inside = ((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    kept = memory.masked_fill(padding[..., None], 0.0).masked_fill(~inside, 0.0)
    logits = head.token_embed(head.enc_output_norm(head.enc_output(kept)))
    parts = logits.split([mask[0].numel() for mask in masks], 1)
    return [part.unflatten(1, mask.shape[1:]) for part, mask in zip(parts, masks, strict=True)]


def plain_layer(
    layer: nn.Module,
    x: Tensor,
    pos: Tensor,
    memory: Tensor,
    padding: Tensor,
    shapes: list[tuple[int, int]],
    around: Tensor,
) -> Tensor:
    """A decoder layer; ``around`` are boxes in the padded image ``(B, N, levels, 4)``."""
    query = (x + pos).transpose(0, 1)
    attended = layer.self_attn.attn(query, query, x.transpose(0, 1))[0].transpose(0, 1)
    x = layer.norms[0](x + layer.self_attn.dropout_layer(attended))
    sampled = plain_deformable(layer.cross_attn, x + pos, memory, padding, shapes, around)
    x = layer.norms[1](x + layer.cross_attn.dropout(sampled))
    return layer.norms[2](layer.ffn(x))


def plain_deformable(
    attn: nn.Module, query: Tensor, memory: Tensor, padding: Tensor, shapes: list[tuple[int, int]], around: Tensor
) -> Tensor:
    """Deformable attention in boxes."""
    batch, queries, channels = query.shape
    heads, levels, points = attn.num_heads, attn.num_levels, attn.num_points
    value = attn.value_proj(memory).masked_fill(padding[..., None], 0.0).view(batch, -1, heads, channels // heads)
    offsets = attn.sampling_offsets(query).view(batch, queries, heads, levels, points, 2)
    weights = attn.attention_weights(query).view(batch, queries, heads, levels * points).softmax(-1)
    boxes = around[:, :, None, :, None]
    grid = 2 * (boxes[..., :2] + offsets / points * boxes[..., 2:] * 0.5) - 1
    found = []
    for level, (part, size) in enumerate(zip(value.split([h * w for h, w in shapes], 1), shapes, strict=True)):
        maps = part.flatten(2).transpose(1, 2).reshape(batch * heads, channels // heads, *size)
        places = grid[:, :, :, level].transpose(1, 2).flatten(0, 1)
        found.append(F.grid_sample(maps, places, align_corners=False))  # (B * heads, C / heads, N, points)
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, queries, levels * points)
    output = (torch.stack(found, -2).flatten(-2) * weights).sum(-1).view(batch, channels, queries)
    return attn.output_proj(output.transpose(1, 2).contiguous())
